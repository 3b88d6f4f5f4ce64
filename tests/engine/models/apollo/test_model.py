"""Apollo: clips of a file, words of the prompt, checkpoints as released, and clips one by one."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2ForCausalLM, SiglipModel

from engine.errors import MissingCapabilityError, WeightsError
from engine.models import token_model
from engine.models.apollo import model as apollo
from engine.models.apollo.checkpoint import save_net
from engine.models.apollo.net import build
from engine.models.apollo.prompts import introduce
from engine.models.layers import preprocess
from engine.models.layers.decoder import Decoder
from engine.models.layers.number_words import number_words
from engine.models.layers.prompt_rows import embed_ids
from engine.models.layers.splice import PLACEHOLDER_ID
from engine.models.layers.towers import Tower
from engine.models.layers.weights import INDEX_NAME
from engine.models.registry import load_model
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.protocols import Sampling
from engine.records import ChunkRef, Fingerprint, TimeSpan, Turn, VideoId
from engine.tensors import ChunkLatents, FrameBatch, TokenLatents, VisualTokens
from tests.support.released_apollo import ClipSampling, answer_file, encode_with_placeholders


def test_each_clip_is_introduced_by_its_times() -> None:
    opening, second = introduce([(0.0, 1.5), (61.97, 63.47)], clip_s=2.0, duration_s=64.5)
    assert opening == (
        "You are provided the following series of two, 2 second clips from a "
        "0:01:04.500000 [H:MM:SS] video.\n0.0-1.5 seconds: "
    )
    assert second == ",\n62.0-63.5 seconds: "


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (84, "eighty-four"),
        (104, "one hundred and four"),
        (1001, "one thousand and one"),
        (1234, "one thousand, two hundred and thirty-four"),
        (2_000_100, "two million, one hundred"),
    ],
)
def test_counts_are_spelt_out(number: int, words: str) -> None:
    assert number_words(number) == words


def test_a_count_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        number_words(-1)


CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apollo")
    apollo.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> apollo.Apollo:
    loaded = load_model(checkpoint, device=CPU, dtype=torch.float32)
    assert isinstance(loaded, apollo.Apollo)
    return loaded


def frames(n: int, fps: float = 2.0) -> FrameBatch:
    torch.manual_seed(n)
    preprocess = torch.randint(0, 256, (n, 3, 36, 64), dtype=torch.uint8)
    return FrameBatch(pixels=preprocess, pts_s=torch.arange(n, dtype=torch.float64) / fps)


def one_clip(tokens: VisualTokens, ordinal: int) -> VisualTokens:
    own = slice(4 * ordinal, 4 * ordinal + 4)
    return VisualTokens(
        embeddings=tokens.embeddings[own],
        frame_vectors=tokens.frame_vectors[own],
        pts_s=tokens.pts_s[own],
    )


def chunks(model: apollo.Apollo, n_frames: int, fps: float = 2.0) -> list[ChunkLatents]:
    tokens = model.encode(frames(n_frames, fps))
    recalled, stream = [], model.open_stream()
    for ordinal in range(-(-n_frames // 4)):
        clip = one_clip(tokens, ordinal)
        start_s = float(clip.pts_s[0])
        span = TimeSpan(start_s=start_s, end_s=start_s + len(clip.pts_s) / fps)
        recalled.append(
            ChunkLatents(
                ref=ChunkRef(video=VideoId("v"), ordinal=ordinal, span=span),
                latents=model.compress(clip, stream),
                frame_vectors=clip.frame_vectors,
                pts_s=clip.pts_s,
            )
        )
    return recalled


def tokens_of(chunk: ChunkLatents) -> torch.Tensor:
    assert isinstance(chunk.latents, TokenLatents)
    return chunk.latents.embeddings


def test_siglip_has_the_released_number_of_parameters() -> None:
    with torch.device("meta"):
        tower = Tower(apollo.VARIANTS["3b"].vision.siglip)
    assert sum(weight.numel() for weight in tower.parameters()) == 428_225_600


@pytest.mark.parametrize(("variant", "billions"), [("1_5b", 1.54), ("3b", 3.09), ("7b", 7.62)])
def test_decoders_have_the_published_number_of_parameters(variant: str, billions: float) -> None:
    with torch.device("meta"):
        decoder = Decoder(apollo.VARIANTS[variant].decoder)
    n_parameters = sum(weight.numel() for weight in decoder.parameters())
    assert round(n_parameters / 1e9, 2) == billions


def test_an_hour_of_two_frames_a_second_is_kept_whole() -> None:
    card = apollo.card_of(
        apollo.VARIANTS["3b"], variant="3b", fingerprint=Fingerprint("f"), vector_dim=1152
    )
    assert card.latents_per_chunk == 128
    assert card.bytes_per_hour(2.0) == 1800 * 128 * 2048 * 2
    assert card.max_positions >= 84 * card.latents_per_chunk


def test_checkpoint_is_laid_out_as_released(checkpoint: Path) -> None:
    names = {str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*.*")}
    assert {
        "config.json",
        "llm/config.json",
        f"llm/{INDEX_NAME}",
        "llm/tokenizer.json",
        "mm_connector/config.json",
        "mm_connector/model.safetensors",
        "vision_tower/config.json",
        "vision_tower/internvideo2/model.safetensors",
        "vision_tower/siglip-so400m-patch14-384/model.safetensors",
        "vision_tower/siglip-so400m-patch14-384/preprocessor_config.json",
    } <= names


def test_config_survives_the_road_through_files(model: apollo.Apollo) -> None:
    read, written = model.net.config, apollo.VARIANTS["tiny"]
    assert read.vision.internvideo2 == written.vision.internvideo2
    assert read.vision.connector == written.vision.connector
    assert read.vision.siglip_pixels == written.vision.siglip_pixels
    assert read.decoder == written.decoder
    assert read.max_positions == written.max_positions


def test_last_blocks_and_heads_of_pretraining_are_left_out(tmp_path: Path) -> None:
    apollo.write_tiny(tmp_path)
    path = tmp_path / "vision_tower/internvideo2/model.safetensors"
    weights = load_file(path)
    assert "blocks.2.norm1.weight" in weights
    heads = {"clip_projector.norm1_k.bias": torch.zeros(3), "img_pos_embed": torch.zeros(1, 2, 3)}
    save_file(weights | heads, path)
    assert load_model(tmp_path, device=CPU, dtype=torch.float32).card.family == "apollo"


@pytest.mark.parametrize("part", ["mm_connector", "vision_tower/internvideo2"])
def test_a_missing_and_an_extra_key_are_named(tmp_path: Path, part: str) -> None:
    apollo.write_tiny(tmp_path)
    path = tmp_path / part / "model.safetensors"
    weights = load_file(path)
    gone = min(weights)
    weights["odd.one"] = weights.pop(gone)
    save_file(weights, path)
    with pytest.raises(WeightsError, match=r"missing.*unknown.*odd\.one"):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("is_same", [True, False])
def test_a_repeated_head_must_equal_the_embeddings(tmp_path: Path, is_same: bool) -> None:
    apollo.write_tiny(tmp_path)
    index_path = tmp_path / "llm" / INDEX_NAME
    index = json.loads(index_path.read_text())
    home = tmp_path / "llm" / index["weight_map"]["model.embed_tokens.weight"]
    weights = load_file(home)
    head = weights["model.embed_tokens.weight"] + (0 if is_same else 1)
    save_file(weights | {"lm_head.weight": head}, home)
    if is_same:
        load_model(tmp_path, device=CPU, dtype=torch.float32)
        return
    with pytest.raises(WeightsError, match="another head"):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("config.json", {"interpolate_mode": "nearest"}, "interpolate_mode 'nearest'"),
        ("config.json", {"use_mm_start_end": True}, "use_mm_start_end True"),
        ("vision_tower/config.json", {"vision_towers": ["internvideo2"]}, "supported are siglip"),
        ("mm_connector/config.json", {"projector_type": "stc"}, "mlpNx_gelu"),
        ("mm_connector/config.json", {"num_output_tokens": "128"}, "does not fit Apollo"),
        ("mm_connector/config.json", {"hidden_act": "gelu"}, "hidden_act must be silu"),
        ("vision_tower/internvideo2/config.json", {"tubelet_size": 2}, "tubelet_size must be 1"),
        ("llm/config.json", {"num_hidden_layers": "2"}, "does not fit Apollo"),
        ("vision_tower/config.json", {"token_output_shape": [8, 3, 3]}, "4 frames"),
    ],
)
def test_what_no_release_uses_is_refused(
    tmp_path: Path, name: str, changes: dict[str, object], message: str
) -> None:
    apollo.write_tiny(tmp_path)
    path = tmp_path / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    apollo.write_tiny(tmp_path)
    path = tmp_path / "mm_connector/config.json"
    config = json.loads(path.read_text())
    del config["resampler_depth"]
    path.write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="lacks the field 'resampler_depth'"):
        load_model(tmp_path, device=CPU, dtype=torch.float32)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        apollo.write_tiny(folder, seed=3)
    for path in folders[0].rglob("*.safetensors"):
        assert path.read_bytes() == (folders[1] / path.relative_to(folders[0])).read_bytes()


def test_clips_do_not_depend_on_the_batch_they_come_in(model: apollo.Apollo) -> None:
    batch = frames(11)
    whole = model.encode(batch)
    for start in (0, 4, 8):
        own = slice(start, start + 4)
        alone = model.encode(FrameBatch(pixels=batch.pixels[own], pts_s=batch.pts_s[own]))
        torch.testing.assert_close(alone.embeddings, whole.embeddings[own], atol=1e-5, rtol=0)
    assert len(whole.embeddings) == len(whole.frame_vectors) == 11


def test_frames_of_a_clip_see_each_other(model: apollo.Apollo) -> None:
    batch = frames(4)
    changed = batch.pixels.clone()
    changed[3] = 255 - changed[3]
    before = model.encode(batch).embeddings[0]
    after = model.encode(FrameBatch(pixels=changed, pts_s=batch.pts_s)).embeddings[0]
    assert (before - after).abs().max() > 1e-4


def test_a_short_clip_equals_its_last_frame_repeated_where_frames_are_seen_alone(
    checkpoint: Path,
) -> None:
    model = apollo.load(checkpoint, CPU, torch.float32)
    projection = model.net.vision.connector.projections[0]
    with torch.no_grad():
        projection.weight[:, model.net.vision.siglip.width :] = 0
    batch = frames(2)
    repeated = FrameBatch(
        pixels=batch.pixels[[0, 1, 1, 1]], pts_s=torch.arange(4, dtype=torch.float64)
    )
    stream = model.open_stream()
    short, full = (model.compress(model.encode(clip), stream) for clip in (batch, repeated))
    torch.testing.assert_close(short.embeddings, full.embeddings, atol=1e-5, rtol=0)


def test_every_clip_keeps_the_queries_of_the_connector(model: apollo.Apollo) -> None:
    recalled = chunks(model, 10)
    assert [chunk.latents.n_latents for chunk in recalled] == [8, 8, 8]
    assert model.card.latents_per_chunk == 8
    assert isinstance(recalled[0].latents, TokenLatents)
    assert recalled[0].latents.nbytes == model.card.chunk_bytes


def test_clips_as_they_arrive_equal_all_at_once(model: apollo.Apollo) -> None:
    vision = model.net.vision
    whole = vision.clip_tokens(*vision.prepare(frames(12).pixels))
    arrived = torch.stack([tokens_of(chunk) for chunk in chunks(model, 12)])
    torch.testing.assert_close(arrived, whole, atol=1e-5, rtol=0)


def test_a_stream_has_the_ratio_of_the_connector(model: apollo.Apollo) -> None:
    ratio = model.card.compression_ratio
    assert model.open_stream(compression_ratio=ratio).compression_ratio == ratio
    with pytest.raises(ValueError, match="compression_ratio of apollo must be"):
        model.open_stream(compression_ratio=ratio + 1)


def test_a_clip_of_too_many_frames_is_a_mistake(model: apollo.Apollo) -> None:
    with pytest.raises(ValueError, match="1 to 4 frames, not 5"):
        model.compress(model.encode(frames(5)), model.open_stream())


def test_prompt_equals_upstreams_text_cut_at_its_placeholders(model: apollo.Apollo) -> None:
    recalled = chunks(model, 12)
    tag, control = "<|video_token|>", model.tokenizer.control
    times = [(0.0, 1.5), (2.0, 3.5), (4.0, 5.5)]
    words = introduce(times, clip_s=2.0, duration_s=6.0)
    text = (
        "<|im_start|>system\n\nYou are a helpful vision-language assistant.<|im_end|>\n"
        f"<|im_start|>user\n{''.join(piece + 8 * tag for piece in words)}\n\nFirst?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nThen?<|im_end|>\n<|im_start|>assistant\n"
    )
    prompt = model.prompt("Then?", recalled, [Turn(question="First?", answer="Yes.")])
    clips = [token for label in prompt.labels for token in (*label, *[PLACEHOLDER_ID] * 8)]
    ours = [*prompt.before, *clips, *prompt.after]
    assert ours == encode_with_placeholders(text, (tag,), control)


@torch.no_grad()
def test_transformers_says_the_same_from_the_same_folder(
    model: apollo.Apollo, checkpoint: Path
) -> None:
    recalled, decoder = chunks(model, 8), model.net.decoder
    prompt = model.prompt("What?", recalled)
    clips = [tokens_of(chunk) for chunk in recalled]
    memory, _ = token_model.prefill_chunks(decoder, prompt, clips, max_tokens=1)
    last = embed_ids(decoder, prompt.after)
    ours = decoder.logits(decoder.extend(last[None], memory)[0])
    rows = [embed_ids(decoder, prompt.before)]
    for label, clip in zip(prompt.labels, clips, strict=True):
        rows += [embed_ids(decoder, label), clip]
    theirs = Qwen2ForCausalLM.from_pretrained(checkpoint / "llm", dtype=torch.float32).eval()
    logits = theirs(inputs_embeds=torch.cat([*rows, last])[None]).logits[0, -len(last) :]
    torch.testing.assert_close(ours, logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_transformers_sees_and_reads_the_same_from_the_towers_folder(
    model: apollo.Apollo, checkpoint: Path
) -> None:
    folder = checkpoint / "vision_tower/siglip-so400m-patch14-384"
    theirs = SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()
    batch = frames(4)
    still = preprocess.prepare(batch.pixels, model.net.config.vision.siglip_pixels)
    image_vectors = theirs.vision_model(pixel_values=still).pooler_output
    expected = torch.nn.functional.normalize(image_vectors, dim=-1)
    torch.testing.assert_close(model.encode(batch).frame_vectors, expected, atol=1e-5, rtol=0)
    ids = model.text_encoder.tokenizer.framed("a red car", 16, is_padded=True)
    text_vector = theirs.text_model(input_ids=torch.tensor([ids])).pooler_output[0]
    expected = torch.nn.functional.normalize(text_vector, dim=-1)
    torch.testing.assert_close(model.embed_text("a red car"), expected, atol=1e-5, rtol=0)


def test_prompt_without_clips_is_a_plain_question(model: apollo.Apollo) -> None:
    prompt = model.prompt("Hi", [])
    text = apollo.TEMPLATE.system + "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert [*prompt.before, *prompt.after] == model.tokenizer.control(text)


def test_clips_at_another_rate_say_their_real_length(model: apollo.Apollo) -> None:
    first = model.prompt("Hi", chunks(model, 8, fps=1.0)).labels[0]
    assert "series of two, 4 second clips from a 0:00:08 [" in model.tokenizer.decode(first)


def test_what_people_type_stays_text(model: apollo.Apollo) -> None:
    typed = "a <|im_end|> <|video_token|> b"
    prompt, end = model.prompt(typed, chunks(model, 4)), model.tokenizer.id_of("<|im_end|>")
    assert prompt.after.count(end) == 1
    assert typed in model.tokenizer.decode(prompt.after)


def test_tokens_say_where_they_looked(model: apollo.Apollo) -> None:
    tokens = list(model.generate("What?", chunks(model, 8), Sampling(max_tokens=4)))
    masses = torch.stack([token.chunk_mass for token in tokens if token.chunk_mass is not None])
    assert masses.shape[1] == 2
    assert bool((masses > 0).all())
    assert float(masses.sum(dim=1).max()) <= 1


def test_a_file_is_watched_in_the_released_clips(model: apollo.Apollo) -> None:
    film, read_clips = frames(30 * 10, fps=30.0), list[list[int]]()

    def read(numbers: Sequence[int]) -> FrameBatch:
        read_clips.append(list(numbers))
        return FrameBatch(pixels=film.pixels[read_clips[-1]], pts_s=film.pts_s[read_clips[-1]])

    sampling = Sampling(max_tokens=3)
    tokens = list(answer_file(model, "What?", read, 300, 30.0, sampling))
    clips = ClipSampling().clips(300, 30.0)
    assert read_clips == clips
    streamed = chunks(model, 20, fps=2.0)
    at_two_fps = [
        replace(chunk, latents=model.compress(model.encode(read(numbers)), model.open_stream()))
        for chunk, numbers in zip(streamed, clips, strict=True)
    ]
    expected = list(model.generate("What?", at_two_fps, sampling))
    assert [token.text for token in tokens] == [token.text for token in expected]
    torch.testing.assert_close(tokens[0].chunk_mass, expected[0].chunk_mass, atol=1e-6, rtol=0)


def test_texts_stand_in_the_space_of_frames(model: apollo.Apollo) -> None:
    vector = model.embed_text("a red car")
    assert vector.shape == (model.card.vector_dim,)
    torch.testing.assert_close(vector.norm(), torch.tensor(1.0))


def write_bare(folder: Path) -> None:
    """A checkpoint whose SigLIP is a vision tower alone, as released."""
    config = apollo.VARIANTS["tiny"]
    vision = replace(config.vision, siglip=config.vision.siglip.vision_only())
    net = build(replace(config, vision=vision), CPU, torch.float32)
    randomise(net, seed=0)
    folder.mkdir()
    save_net(net, folder, variant="tiny")
    write_byte_tokenizer(folder / "llm", apollo.CONTROL)


def test_released_towers_have_no_text_side(tmp_path: Path) -> None:
    write_bare(tmp_path / "bare")
    model = apollo.load(tmp_path / "bare", CPU, torch.float32)
    assert model.encode(frames(4)).frame_vectors.shape == (4, model.card.vector_dim)
    with pytest.raises(MissingCapabilityError, match="no text side"):
        model.embed_text("a red car")


def test_the_published_tower_beside_it_gives_the_vectors_and_changes_no_latents(
    tmp_path: Path, model: apollo.Apollo, checkpoint: Path
) -> None:
    write_bare(tmp_path / "bare")
    bare = apollo.load(tmp_path / "bare", CPU, torch.float32)
    published = checkpoint / "vision_tower/siglip-so400m-patch14-384"
    shutil.copytree(published, tmp_path / published.name)
    with_text = apollo.load(tmp_path / "bare", CPU, torch.float32)
    batch = frames(4)
    tokens = with_text.encode(batch)
    assert torch.equal(tokens.embeddings, bare.encode(batch).embeddings)
    torch.testing.assert_close(tokens.frame_vectors, model.encode(batch).frame_vectors)
    torch.testing.assert_close(with_text.embed_text("a dog"), model.embed_text("a dog"))
    assert with_text.card.fingerprint != bare.card.fingerprint
