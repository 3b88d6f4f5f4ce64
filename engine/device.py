"""Accelerators: which one, how work and copies are queued on it, how much it may hold.

Everything that only an accelerator needs stands here, so that nothing else asks for one. On the
CPU, and on tensors without memory, each of these does the plain thing.

*Decision*: answers have a stream of high priority, towers and compression one each of low
priority, shared by all threads. *Because* a question would else wait behind a whole chunk: 110 ms
by the sums for a 7B on an A100; and because a web server may take each token of an answer on
another thread. What one stream made and another reads is safe: a step of ingest ends with
`finish`; a chunk is copied to the host, and so waited for, before anyone may recall it; a lane
waits for the default stream when it is entered; and `hold` keeps the memory of a chunk that leaves
its tier meanwhile.

*Decision*: cuDNN's attention is off. *Because* on Hopper it comes first in torch's order and
builds a plan for each length of keys, and every step of an answer has another one.
*Revisit when* it was measured on such a card.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import torch
from torch import Tensor

from engine.errors import MissingCapabilityError

Lane = Literal["answer", "towers", "compress"]

CPU: Final = torch.device("cpu")
DEFAULT_CACHE_BYTES: Final = 4 << 30
"""For latents, where nobody can say how much an accelerator has free."""
RESERVED_BYTES: Final = 3 << 30
"""Left free for activations, an answer's KV cache and what others load: the dry run of a 7B needs
2.1 GB for an answer over 32,400 latents and 0.5 GB for a chunk."""
_PRIORITY: Final = {"answer": -1, "towers": 0, "compress": 0}
_EAGER_STEPS: Final = 2
"""Steps run as they are before one is recorded: libraries set themselves up in them."""
LEAST_RECORDED_STEPS: Final = 16
"""Steps still to come from which recording pays: it costs about as much as two of them."""

_log = logging.getLogger(__name__)
_streams: dict[tuple[torch.device, str], torch.cuda.Stream] = {}
_streams_lock = threading.Lock()


def pick_device(name: str) -> torch.device:
    """Return a device by name; `auto` takes an accelerator when there is one.

    Raises:
        MissingCapabilityError: An accelerator was named and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MissingCapabilityError(f"the device {name} is not there; auto and cpu always are")
    return torch.device(name)


def prepare_device(device: torch.device) -> None:
    """Set what holds for a whole process, once weights are in place on a device."""
    if is_real(device):
        torch.backends.cuda.enable_cudnn_sdp(False)
        # Lanes do not wait for the stream on which weights were filled.
        torch.cuda.synchronize(device)


def cache_bytes(device: torch.device) -> int:
    """Return how many bytes of latents a device may hold, with the weights in place already."""
    if not is_real(device):
        return DEFAULT_CACHE_BYTES
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return budget_of(free_bytes)


def budget_of(free_bytes: int) -> int:
    """Return what of a device's free bytes latents may take: all but what work needs."""
    return max(0, free_bytes - max(RESERVED_BYTES, free_bytes // 10))


@contextmanager
def lane(device: torch.device, name: Lane) -> Iterator[None]:
    """Queue the work of a block on the stream of its kind."""
    if not is_real(device):
        yield
        return
    stream = _stream(device, name)
    # Latents are unpacked on the default stream, before an answer enters its lane.
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield


def finish(device: torch.device) -> None:
    """Wait until what this thread queued is done, so that another one may read it."""
    if is_real(device):
        torch.cuda.current_stream(device).synchronize()


def hold(tensor: Tensor) -> None:
    """Keep a tensor's memory until the work that is queued now has read it.

    Needed where another stream may free it meanwhile.
    """
    if is_real(tensor.device):
        tensor.record_stream(torch.cuda.current_stream(tensor.device))


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a host tensor to a device; the host does not wait where its memory can be pinned."""
    if device.type == "cpu":
        return tensor
    if is_real(device):
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


@dataclass(frozen=True, slots=True)
class Download:
    """A copy to the host that was queued and may still be under way."""

    _host: Tensor
    _done: Any

    def wait(self) -> Tensor:
        """Return the values, once they are there."""
        if self._done is not None:
            self._done.synchronize()
        return self._host


def download(tensor: Tensor) -> Download:
    """Queue a copy to the host behind the work so far."""
    if not is_real(tensor.device):
        return Download(tensor.cpu() if tensor.device.type != "cpu" else tensor.clone(), None)
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record()
    return Download(host, done)


Record = Callable[[Callable[[], None]], Callable[[], object]]
"""Takes a step, runs nothing, and returns what repeats it as one launch."""


class Replay:
    """A step that is repeated with the same tensors: as one launch where it can be recorded.

    Args:
        step: Changes tensors in place, and allocates nothing that is read later.
        record: `None` runs every step as it is.
    """

    def __init__(self, step: Callable[[], None], record: Record | None) -> None:
        self._step = step
        self._record = record
        self._n_eager = 0
        self._replay: Callable[[], object] | None = None

    @property
    def is_recorded(self) -> bool:
        """Whether steps are one launch each by now."""
        return self._replay is not None

    def __call__(self) -> None:
        """Run the step once."""
        if self._replay is None and self._record is not None and self._n_eager >= _EAGER_STEPS:
            try:
                self._replay = self._record(self._step)
            except RuntimeError as error:
                # A kernel that cannot be recorded costs speed, never an answer.
                _log.info("steps are launched one by one: %s", error)
                self._record = None
        if self._replay is not None:
            self._replay()
            return
        self._step()
        self._n_eager += 1


def recorder(device: torch.device) -> Record | None:
    """Return what records steps as a CUDA graph; `None` where there is none."""
    return _record_graph if is_real(device) else None


def _record_graph(step: Callable[[], None]) -> Callable[[], object]:
    device = torch.device("cuda", torch.cuda.current_device())
    outer = torch.cuda.current_stream(device)
    # A stream of its own: what another thread queued on a shared one would be recorded too.
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    # Not `torch.cuda.graph`, which waits for the whole device and gives its memory back first.
    stream.wait_stream(outer)
    with torch.cuda.stream(stream):
        # Other threads go on allocating: only what this one does may break the recording.
        graph.capture_begin(capture_error_mode="thread_local")
        try:
            step()
        finally:
            graph.capture_end()
    outer.wait_stream(stream)
    return graph.replay


FlashAttention = Callable[[Tensor, Tensor, Tensor, bool], tuple[Tensor, Tensor]]
"""Attention of q, k and v, `batch token head head_dim`, causal or not; and the log-sum-exp of its
scores, `batch head token`."""


def installed_flash_attention() -> FlashAttention | None:
    """Return the flash-attn package's kernel; `None` where it is not installed or cannot load."""
    try:
        from flash_attn import flash_attn_func
    except ImportError:
        return None

    def attention(q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> tuple[Tensor, Tensor]:
        out, lse, _ = flash_attn_func(q, k, v, causal=is_causal, return_attn_probs=True)
        return out, lse

    return attention


def is_better(
    challenger: Callable[[], tuple[Tensor, ...]],
    champion: Callable[[], tuple[Tensor, ...]],
    seconds: Callable[[Callable[[], object]], float],
    *,
    tolerance: float,
) -> bool:
    """Tell whether a kernel gives the champion's results in less time.

    Args:
        challenger: Runs the kernel once.
        champion: Runs the one in use once, on the same inputs.
        seconds: Measures one run.
        tolerance: Largest difference, in the largest value of the champion's result.
    """
    try:
        theirs = challenger()
    except RuntimeError as error:
        _log.info("a kernel that was tried cannot run here: %s", error)
        return False
    for own, other in zip(champion(), theirs, strict=True):
        difference = float((own.float() - other.float()).abs().max())
        if difference > tolerance * float(own.float().abs().max()):
            _log.warning("a kernel that was tried differs by %g and is not used", difference)
            return False
    return seconds(challenger) < 0.97 * seconds(champion)


def time_on_device(work: Callable[[], object]) -> float:
    """Return the seconds of one run of some work, the median of five after a first one."""
    work()
    times = list[float]()
    for _ in range(5):
        start, end = (_timing_event() for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(float(start.elapsed_time(end)) / 1000)
    return sorted(times)[len(times) // 2]


def _stream(device: torch.device, name: Lane) -> torch.cuda.Stream:
    with _streams_lock:
        if (device, name) not in _streams:
            _streams[device, name] = torch.cuda.Stream(  # type: ignore[no-untyped-call]
                device, priority=_PRIORITY[name]
            )
        return _streams[device, name]


def _timing_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


@cache
def _has_cuda() -> bool:
    return torch.cuda.is_available()


def is_real(device: torch.device) -> bool:
    """Tell whether a device is an accelerator that torch can drive here."""
    return device.type == "cuda" and _has_cuda()
