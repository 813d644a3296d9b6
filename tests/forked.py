"""Real `xattn` processes without their start: a server that has imported everything forks one for each command line.

They have process groups of their own, so they can be killed as a shell's job is. Run as a script it is the server: one
JSON object a line in (`argv`, `cwd`, `out`, or `wait`), one out (`pid`, or `code`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Process:
    """One that runs, or did. `wait` gives its exit code, minus the signal's number where one killed it."""

    pid: int
    files: Path
    server: Server

    def wait(self) -> int:
        return int(self.server.ask({"wait": self.pid})["code"])

    def signal(self, number: int) -> None:
        """To the whole group, as a terminal and a job scheduler send it."""
        os.killpg(self.pid, number)

    @property
    def out(self) -> str:
        return (self.files / "stdout").read_text()

    @property
    def err(self) -> str:
        return (self.files / "stderr").read_text()


class Server:
    """The forking process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._count = 0

    def start(self, *argv: str | Path, cwd: Path, **settings: str) -> Process:
        """Run `xattn` with these arguments, and further environment variables."""
        self._count += 1
        files = cwd / f".process-{self._count}"
        files.mkdir()
        asked = {"argv": [str(one) for one in argv], "cwd": str(cwd), "out": str(files), "settings": settings}
        return Process(int(self.ask(asked)["pid"]), files, self)

    def ask(self, asked: Mapping[str, object]) -> dict[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server has ended"
        made: dict[str, int] = json.loads(answer)
        return made


@contextmanager
def server(model: Path, **settings: str) -> Iterator[Server]:
    """A server with these environment variables, which has drawn with the model: what is imported late is there too."""
    from tests.ui.conftest import environment

    process = subprocess.Popen(
        [sys.executable, __file__, model],
        env=environment(OMP_NUM_THREADS="1", **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()


def _serve() -> None:
    import importlib
    import signal

    import ui.cli

    for late in ("pipelines.batch.session", "pipelines.batch.sheet", "ui.app", "ui.batch_reports"):
        importlib.import_module(late)
    pipeline = importlib.import_module("pipelines.pipeline")
    pipe = pipeline.Pipeline.from_pretrained(sys.argv[1])
    pipe("a fox", words=("fox",)).save(Path(os.environ["XATTN_CACHE"]) / "warm.png")
    # a shell's background job ignores SIGINT, and so would what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            _, status = os.waitpid(asked["wait"], 0)
            answer = {"code": os.waitstatus_to_exitcode(status)}
        else:
            pid = os.fork()
            if pid == 0:
                _become(asked, ui.cli.main)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)


def _become(asked: dict[str, object], main: object) -> None:
    """The forked process: never comes back."""
    os.setsid()
    settings = asked["settings"]
    assert isinstance(settings, dict)
    os.environ.update(settings)
    os.chdir(str(asked["cwd"]))
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(Path(str(asked["out"])) / name, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    argv = asked["argv"]
    assert isinstance(argv, list)
    assert callable(main)
    sys.argv = ["xattn", *argv]
    code: object = 1
    try:
        main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    _serve()
