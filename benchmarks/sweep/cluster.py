"""A sweep on a cluster: each run is a job of its own, by submitit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from unicode_cmg.console import say
from unicode_cmg.errors import InputError

Result = TypeVar("Result")
_GENERAL = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
"""Options that submitit has for every kind of cluster; others are of Slurm."""


@dataclass(frozen=True)
class Cluster:
    """Where jobs run.

    Attributes:
        kind: `slurm`, or `local` for processes of this machine, as a rehearsal.
        logs: Folder of the jobs' outputs, on a file system that all machines share.
        options: Of each job, such as `partition`, `timeout_min` or `gpus_per_node`.
        poll: Seconds between two looks at the jobs.
    """

    kind: Literal["slurm", "local"]
    logs: Path
    options: Mapping[str, str] = field(default_factory=dict)
    poll: float = 10.0

    def run(
        self, jobs: Mapping[int, Callable[[], Result]], *, at_a_time: int
    ) -> Iterator[tuple[int, Result]]:
        """Number and result of each job, as they finish. A job that fails does not stop the others.

        Args:
            jobs: Functions that can be pickled, by number.
            at_a_time: Jobs that are in the queue or run at the same time.

        Raises:
            InputError: submitit is not installed or refuses an option, or, at the end, jobs have failed.
        """
        executor, waiting = self._executor(), dict(jobs)
        running: dict[int, Any] = {}
        failed: dict[int, Path] = {}
        while waiting or running:
            while waiting and len(running) < at_a_time:
                number = next(iter(waiting))
                running[number] = executor.submit(waiting.pop(number))
                sent = len(jobs) - len(waiting)
                say(f"job {running[number].job_id}: {sent} of {len(jobs)}, logs in {self.logs}")
            ended = [number for number, job in running.items() if job.done()]
            for number in ended:
                job = running.pop(number)
                if job.exception() is None:
                    yield number, job.result()
                else:
                    failed[number] = Path(job.paths.stderr)
                    why = str(job.exception()).strip().splitlines()[-1:]
                    say(f"job {job.job_id} has failed: {' '.join(why)}")
            if not ended:
                time.sleep(self.poll)
        if failed:
            raise InputError(
                f"{len(failed)} of {len(jobs)} jobs have failed",
                where=next(iter(failed.values())),
                fix="read that file; the same command again runs what is missing",
            )

    def _executor(self) -> Any:
        try:
            import submitit
        except ImportError:
            raise InputError(
                "submitit is not installed", where="--cluster", fix="pip install 'unicode-cmg[slurm]'"
            ) from None
        values = {
            key if key in _GENERAL else f"slurm_{key}": int(value) if value.isdecimal() else value
            for key, value in self.options.items()
        }
        try:
            executor = submitit.AutoExecutor(folder=self.logs, cluster=self.kind)
            executor.update_parameters(**values)
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            raise InputError(" ".join(str(error).split()), where="--cluster") from None
        return executor
