"""Rounds as CUDA graphs: one launch for all kernels of a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from dfkdbench.rng import RandomStreams


class GraphRecorder:
    """Records rounds as CUDA graphs, whose kernels find their memory where it was and draw on from every random stream.

    Args:
        streams: Every run's random streams. Those that a round draws from are there once it has run.
    """

    def __init__(self, device: torch.device, streams: Sequence[RandomStreams]) -> None:
        self._device, self._random = device, streams
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def beside(self, runs: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Each on a stream of its own between those before and those after it: branches of the graph, once captured.

        A branch's memory is its own: what one frees no other takes.
        """
        if len(runs) == 1:
            return runs[0]
        branches = [torch.cuda.Stream(self._device) for _ in runs]  # type: ignore[no-untyped-call]

        def run_all() -> None:
            trunk = torch.cuda.current_stream(self._device)
            try:
                for branch, run in zip(branches, runs, strict=True):
                    branch.wait_stream(trunk)
                    with torch.cuda.stream(branch):
                        run()
            finally:  # a capture can't end while a branch is open
                for branch in branches:
                    trunk.wait_stream(branch)

        return run_all

    @contextmanager
    def watch(self) -> Iterator[None]:
        """On the stream that is recorded later, and with an error wherever the host waits for the device."""
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.synchronize(self._device)
        try:
            with torch.cuda.stream(self._stream):
                torch.cuda.set_sync_debug_mode("error")
                yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
            torch.cuda.synchronize(self._device)

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """The graph's replay. Its memory lives as long as this does."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators():
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                run()
        except BaseException:
            self._release_generators()
            raise
        return graph.replay

    def _generators(self) -> list[torch.Generator]:
        return [generator for streams in self._random for generator in streams.generators()]

    def _release_generators(self) -> None:
        """Gives every generator a state that no broken-off graph holds."""
        index = self._device.index if self._device.index is not None else torch.cuda.current_device()
        for generator in (*self._generators(), torch.cuda.default_generators[index]):
            fresh = torch.Generator(device=self._device)
            generator.graphsafe_set_state(fresh.graphsafe_get_state())
