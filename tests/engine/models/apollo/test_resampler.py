"""The connector: a clip becomes its queries, by the released parameter counts."""

import pytest
import torch

from engine.models.apollo.resampler import Connector, ConnectorConfig, GainedNorm


def small(**changes: int) -> Connector:
    config = {"width_in": 10, "width": 16, "n_queries": 3, "n_heads": 4, "n_kv_heads": 2}
    torch.manual_seed(0)
    return Connector(ConnectorConfig(**{**config, "head_dim": 8, **changes})).eval()


@pytest.mark.parametrize(
    ("width", "n_parameters"), [(1536, 38_358_528), (2048, 63_727_616), (3584, 177_583_616)]
)
def test_released_sizes_have_the_published_parameters(width: int, n_parameters: int) -> None:
    with torch.device("meta"):
        connector = Connector(ConnectorConfig(width_in=2560, width=width, n_queries=128))
    assert sum(weight.numel() for weight in connector.parameters()) == n_parameters


def test_every_clip_costs_the_same() -> None:
    connector = small()
    assert connector(torch.randn(2, 7, 10)).shape == (2, 3, 16)
    assert connector(torch.randn(2, 99, 10)).shape == (2, 3, 16)


def test_order_of_tokens_is_not_seen() -> None:
    connector, features = small(depth=2), torch.randn(1, 9, 10)
    shuffled = features[:, torch.randperm(9)]
    torch.testing.assert_close(connector(features), connector(shuffled), atol=1e-5, rtol=0)


def test_attention_equals_heads_one_by_one() -> None:
    connector, features = small(), torch.randn(1, 9, 10)
    layer = connector.resampler.layers[0]
    queries = connector.resampler.queries[None]
    context = layer.context_norm(connector.project(features))
    normed = layer.query_norm(queries)
    sources = torch.cat([context, normed], dim=1)[0]
    attention = layer.attention
    heads = []
    for head in range(4):
        own, shared = slice(8 * head, 8 * (head + 1)), slice(8 * (head // 2), 8 * (head // 2 + 1))
        query = attention.query(normed[0])[:, own]
        key, value = attention.key(sources)[:, shared], attention.value(sources)[:, shared]
        heads.append((query @ key.T / 8**0.5).softmax(-1) @ value)
    expected = attention.out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(normed, context)[0], expected, atol=1e-5, rtol=0)


def test_one_projection_is_affine_and_two_are_not() -> None:
    left, right = torch.randn(4, 10), torch.randn(4, 10)
    single, double = small(), small(n_projections=2)
    for connector, is_affine in ((single, True), (double, False)):
        mean = connector.project((left + right) / 2)
        ends = (connector.project(left) + connector.project(right)) / 2
        assert torch.allclose(mean, ends, atol=1e-5) is is_affine


def test_queries_start_apart() -> None:
    queries = small().resampler.queries
    assert torch.cdist(queries, queries).fill_diagonal_(1).min() > 1e-2


def test_gain_scales_the_bias_too() -> None:
    norm = GainedNorm(4)
    with torch.no_grad():
        norm.norm.bias.fill_(1)
        norm.gain.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
    plain = norm.norm(torch.arange(4.0))
    torch.testing.assert_close(norm(torch.arange(4.0)), plain * torch.arange(4.0))


def test_a_connector_needs_a_projection_and_even_groups() -> None:
    with pytest.raises(ValueError, match="n_projections"):
        small(n_projections=0)
    with pytest.raises(ValueError, match="multiple of n_kv_heads"):
        small(n_kv_heads=3)
