"""`python -m django_pollable.client`."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from django_pollable.client.__main__ import main
from tests.faulty import FaultyServer, Part, Request, answer, page, script

FIRST = answer(200, page("a", {"id": 1}, more=True, reset=True))
SECOND = answer(200, page("b", {"id": 2}, removed=["7"]), ETag='"b"')
LINES = [{"reset": "begin"}, {"item": {"id": 1}}, {"item": {"id": 2}}, {"removed": "7"}, {"reset": "end"}]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_changes_are_lines_of_json_and_each_poll_has_a_status(capsys: Any) -> None:
    with FaultyServer(script([FIRST], [SECOND])) as server:
        code = main([server.url, "--once"])

    out, err = capsys.readouterr()
    assert code == 0
    assert lines(out) == LINES
    assert err.splitlines()[0].startswith("200  89 bytes  ")
    assert "1 items, 1 removed  next in " in err.splitlines()[1]


def test_a_checkpoint_lets_the_next_call_go_on(capsys: Any, tmp_path: Path) -> None:
    with FaultyServer(script([FIRST], [SECOND], [answer(304)])) as server:
        for _ in range(2):
            assert main([server.url, "--once", "--checkpoint", str(tmp_path / "place")]) == 0

    assert lines(capsys.readouterr().out) == LINES
    assert server.requests[2].headers["if-none-match"] == '"b"'


def test_the_token_comes_from_the_option_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLLABLE_TOKEN", "secret")
    with FaultyServer(script([SECOND])) as server:
        main([server.url, "--once"])
        main([server.url, "--once", "--token", "Bearer x", "--header", "X-Key: k"])

    assert [request.headers["authorization"] for request in server.requests] == ["Token secret", "Bearer x"]
    assert server.requests[1].headers["x-key"] == "k"


@pytest.mark.parametrize(("status", "once", "code"), [(401, True, 1), (401, False, 1), (503, True, 3), (500, True, 3)])
def test_the_exit_status_says_what_happened(status: int, once: bool, code: int, capsys: Any) -> None:
    with FaultyServer(script([answer(status, {"detail": "No\x1b[2J."})])) as server:
        assert main([server.url, *["--once"][: int(once)]]) == code

    assert f"{status}  " in capsys.readouterr().err


def test_what_a_server_says_does_not_steer_the_terminal(capsys: Any) -> None:
    with FaultyServer(script([answer(403, {"detail": "No\x1b[2J\n" + "x" * 1000})])) as server:
        main([server.url])

    err = capsys.readouterr().err
    assert "No [2J x" in err
    assert "\x1b" not in err
    assert len(err) < 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ["ftp://x/"],
        ["http://x/", "--interval", "0"],
        ["http://x/", "--header", "x"],
        ["http://x/", "--checkpoint", "/no/x"],
    ],
)
def test_a_wrong_use_is_told(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2
    assert "error:" in capsys.readouterr().err


def run(url: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "django_pollable.client", url, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, **(pipes | options))


def test_a_signal_stops_it_after_the_request_under_way(capsys: Any) -> None:
    def respond(request: Request) -> Iterable[Part]:
        threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM]).start()
        return [SECOND]

    with FaultyServer(respond) as server:
        assert main([server.url, "--interval", "60"]) == 0

    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert len(server.requests) == 1


def test_a_closed_pipe_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

        def fileno(self) -> int:
            return file.fileno()

    with (tmp_path / "out").open("w") as file, FaultyServer(script([SECOND])) as server:
        monkeypatch.setattr(sys, "stdout", Closed())
        assert main([server.url]) == 0
        monkeypatch.undo()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="these are signals of POSIX")
def test_a_signal_ends_it_in_order() -> None:
    with FaultyServer(script([SECOND], [answer(304)])) as server, run(server.url) as process:
        while len(server.requests) < 1:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5)

    assert (process.returncode, lines(out)) == (0, [LINES[0], *LINES[2:]])
    assert "Traceback" not in err


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    many = [answer(200, page(str(number), *range(5000), more=True)) for number in range(50)]
    with FaultyServer(script(*([one] for one in many))) as server, run(server.url) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(10)

    assert process.returncode == 0
    assert "Traceback" not in err


def test_the_client_imports_no_django() -> None:
    code = "import sys, django_pollable.client.__main__; print({'django', 'rest_framework'} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
