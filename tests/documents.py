"""
Documents that are followed: their files are written, their commands typed, and what they show is what comes.

A block with a caption is a file: `mysite/urls.py` is written, `mysite/settings.py, at the end` is added to. In a
`console` block a line that begins with `$ ` is typed into a shell, and goes on while it ends with a backslash; what
stands below it is compared with what the command writes, but for white space:

- `...` stands for any text, and a command with nothing below it may write what it likes;
- fields of an HTTP answer may be left out, and the words behind its status be other ones (Python's differ);
- a tag or a cursor stands for the one that came, here and wherever the document shows it again.

A command must succeed. A server goes on in its shell, and the next command is typed into a new one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.services import free_port, wait_for

ROOT = Path(__file__).parent.parent
LONGEST_SECONDS = 120.0
SERVER = "runserver"
STARTED = "Quit the server"
ADDED = ", at the end"
NOT_OURS = {"PYTHONPATH", "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
HTTPIE = ["--ignore-stdin", "--print=hb", "--pretty=format"]
"""What HTTPie does of itself where its output is a terminal."""

FENCE = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (.*)\n\n)?((?s:.*?))^```$", re.M)
STATUS = re.compile(r"^(HTTP/\S+ \d{3}) .*$", re.M)
HEAD = re.compile(r"^HTTP/.*?(?=\n\n|\Z)", re.M | re.S)
TOLD = (re.compile(r"^ETag: (\S+)", re.M), re.compile(r'"next_since": ?"([^"]+)"'))


@dataclass(frozen=True)
class Block:
    language: str
    caption: str
    text: str


@dataclass(frozen=True)
class Step:
    command: str
    shown: str


def blocks(name: str, language: str = "") -> list[Block]:
    """Return the blocks of code of the document `name`, a path from the project's root; by default of all languages."""
    found = [Block(*fence.groups("")) for fence in FENCE.finditer((ROOT / name).read_text())]
    return [block for block in found if language in ("", block.language)]


def python(name: str) -> list[str]:
    """Return the Python code of the document `name`, block by block."""
    return [block.text for block in blocks(name, "python")]


def steps(block: Block) -> Iterator[Step]:
    """Take a console session apart."""
    for part in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, shown = re.sub(r"\\\n", "\\\0", part).partition("\n")
        yield Step(command.replace("\0", "\n"), shown)


def is_shown(shown: str, came: str) -> bool:
    """Return whether `shown` is how a document may show `came`."""
    shown, came = (STATUS.sub(r"\1", text) for text in (shown, came))
    whole = HEAD.sub(lambda head: head[0].replace("\n", "...") + "...", shown) or "..."
    pattern = ".*".join(re.escape("".join(part.split())) for part in whole.split("..."))
    return re.fullmatch(pattern, "".join(came.split()), re.S) is not None


class Shell:
    """A shell in a terminal of its own, which begins in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._notes = Path(tempfile.mkdtemp(prefix="shell-", dir=environment["TMPDIR"]))
        self._count = 0
        self._errors = self._notes / "errors"
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors.open("w"),
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """
        Return what `command` writes to standard output.

        Raises:
            AssertionError: it has failed, or has not ended within `LONGEST_SECONDS`.
        """
        output = self._type(command)
        ended = output.with_suffix(".ended")
        self.wait_for(lambda: ended.exists() and ended.read_text().endswith("\n"), command)
        assert ended.read_text() == "0\n", f"$ {command}\nhas failed:\n{output.read_text()}{self._errors.read_text()}"
        return output.read_text()

    def serve(self, command: str) -> Path:
        """Start what does not end by itself, and return the file with what it writes to standard output."""
        return self._type(command)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LONGEST_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for `{what}`:\n{self._errors.read_text()}"
            time.sleep(0.02)

    def close(self) -> None:
        """End the shell and what runs in it."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.communicate()

    def _type(self, command: str) -> Path:
        self._count += 1
        output = self._notes / f"{self._count}.output"
        output.touch()
        assert self._process.stdin is not None
        self._process.stdin.write(f"{{ {command}\n}} </dev/null >{output}; echo $? >{output.with_suffix('.ended')}\n")
        self._process.stdin.flush()
        return output


class Reader:
    """
    Somebody who follows documents, in `folder`.

    `replacing` are texts of the documents and what stands in the test for them, `environment` adds to the shells' own.
    """

    def __init__(
        self, folder: Path, *, replacing: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self._folder = folder / "work"
        self._folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"default_options": HTTPIE}))
        own = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        own |= {"TMPDIR": str(folder), "HTTPIE_CONFIG_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
        own |= {"PATH": f"{Path(sys.executable).parent}:{own['PATH']}", **(environment or {})}
        self._environment = own
        self._replacing = {"8000": str(self.port), **(replacing or {})}
        self._shells = [self._new_shell()]
        self._served: Path | None = None
        self._reloads = 0

    def follow(self, document: str) -> None:
        """
        Write the files of a document and type its commands, in its order.

        Raises:
            AssertionError: something else came than it shows.
        """
        self._go_through(blocks(document))

    def write_files(self, document: str) -> None:
        """Write the files of a document."""
        self._go_through([block for block in blocks(document) if block.caption])

    def type_commands(self, document: str) -> None:
        """Type the commands of a document, as `follow` does."""
        self._go_through(blocks(document, "console"))

    def run(self, *commands: str) -> None:
        """Type commands of the test's own; a server waits until it answers."""
        for command in commands:
            self._take(Step(command, ""), {})

    def write(self, caption: str, text: str) -> None:
        """Write a file; a server that has loaded it begins anew."""
        folder = Path(self._shells[-1].run("pwd").strip())
        path = folder / caption.removesuffix(ADDED)
        is_loaded = path.exists() and path.suffix == ".py"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if caption.endswith(ADDED) else "w") as file:
            file.write(self._in_test(text))
        if self._served and is_loaded:
            self._reloads = self._starts() + 1

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exception: object) -> None:
        for shell in self._shells:
            shell.close()

    def _go_through(self, some: list[Block]) -> None:
        told: dict[str, str] = {}
        for block in some:
            if block.caption:
                self.write(block.caption, block.text)
            elif block.language == "console":
                for step in steps(block):
                    self._take(step, told)

    def _take(self, step: Step, told: dict[str, str]) -> None:
        command = self._in_test(step.command, told)
        self._wait_for_reload()
        if SERVER in command:
            self._serve(command, self._in_test(step.shown, told))
            return
        came = self._shells[-1].run(command)
        for pattern in TOLD:
            shown, real = pattern.search(step.shown), pattern.search(came)
            if shown and real and not is_shown(shown[1], real[1]):
                told.setdefault(shown[1], real[1])
        shown_here = self._in_test(step.shown, told)
        assert is_shown(shown_here, came), f"$ {command}\nshows\n{shown_here}\nand what came is\n{came}"

    def _in_test(self, text: str, told: Mapping[str, str] | None = None) -> str:
        for here, there in [*self._replacing.items(), *(told or {}).items()]:
            text = text.replace(here, there)
        return text

    def _serve(self, command: str, shown: str) -> None:
        self._served = output = self._shells[-1].serve(command)
        wait_for(self.port)
        self._shells[-1].wait_for(lambda: is_shown(shown, output.read_text()), command)
        self._shells.append(self._new_shell())

    def _wait_for_reload(self) -> None:
        if self._starts() < self._reloads:
            self._shells[0].wait_for(lambda: self._starts() >= self._reloads, "a server that begins anew")
            wait_for(self.port)

    def _starts(self) -> int:
        return self._served.read_text().count(STARTED) if self._served else 0

    def _new_shell(self) -> Shell:
        return Shell(self._folder, self._environment)
