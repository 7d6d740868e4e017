"""The browser's client and the example's page, in Chromium."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.services import free_port, program, wait_for

pytestmark = pytest.mark.browser

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
ARGUMENTS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
INTERVAL = 2.4
"""The longest wait of the example's clients (seconds)."""
VISIBILITY = """
    let isHidden = false;
    Object.defineProperty(document, 'visibilityState', {get: () => isHidden ? 'hidden' : 'visible'});
    for (const [name, value] of [['test-hide', true], ['test-show', false]]) {
      addEventListener(name, () => { isHidden = value; document.dispatchEvent(new Event('visibilitychange')); });
    }
"""

KEEP_ROWS = """async () => {
  const {Poller, IndexedStore} = await import('/static/django_pollable/poller.js');
  const store = new IndexedStore('board', {identity: 'me', rows: {builds: {keyPath: 'id'}}});
  const rowCount = async () => {
    const count = (await store.database).transaction('builds').objectStore('builds').count();
    return new Promise(resolve => { count.onsuccess = () => resolve(count.result); });
  };
  const before = await rowCount();
  let fails = window.failsOnce;
  const onPage = (page, commit) => commit((transaction) => {
    for (const item of page.items) transaction.objectStore('builds').put(item);
    if (fails) { fails = false; throw new Error('in the middle'); }
  });
  const poller = new Poller('/api/status/', {onPage, store, pace: {interval: 0.2, backoffCap: 0.2}});
  const reasons = [];
  await new Promise(resolve => {
    poller.addEventListener('poll', ({detail}) => {
      reasons.push(detail.reason);
      if (detail.reason === 'handler') rowCount().then((count) => reasons.push(count));
      if (detail.kind === 'idle') resolve();
    });
    poller.start();
  });
  await poller.stop();
  return {before, after: await rowCount(), reasons};
}"""


class Board:
    """The example project, with a database of its own and without its simulator."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "MEDIA_ROOT": str(folder / "media"),
        }
        self.logs = folder / "media" / "logs"
        self.logs.mkdir(parents=True)
        self.manage("migrate")
        self.manage("seed")
        self.start()

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "django", *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def start(self) -> None:
        command = [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{self.port}"]
        self._server = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self) -> None:
        self._server.kill()
        self._server.wait()

    def build(self, project: int = 2, **values: Any) -> int:
        """Queue a build, and return its primary key."""
        fields = {"number": 4242, "commit": "c0ffee0", "author": "me"} | values
        return int(json.loads(self._write("POST", f"/api/projects/{project}/builds/", fields))["id"])

    def delete(self, build: int, project: int = 2) -> None:
        self._write("DELETE", f"/api/projects/{project}/builds/{build}/", {})

    def _write(self, method: str, path: str, values: dict[str, Any]) -> bytes:
        headers = {"Authorization": "Token alice-demo-token", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(values).encode(), headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    server = Board(tmp_path_factory.mktemp("board"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    executable = program("chromium")
    if importlib.util.find_spec("playwright") is None:
        missing = "playwright is not installed (extra `browser`)"
        pytest.fail(missing) if os.environ.get("POLLABLE_REQUIRE_SERVICES") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def window(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context()
    context.add_init_script(VISIBILITY)
    context.set_default_timeout(20_000)
    yield context
    context.close()


@pytest.fixture
def page(window: Any, board: Board) -> Any:
    return opened(window, board)


class Polls(list[Any]):
    """The answers that a page has got from the feeds, as they come."""

    def __init__(self, page: Any) -> None:
        super().__init__()
        page.on("request", lambda request: self.append(request) if "/api/" in request.url else None)

    def during(self, page: Any, seconds: float) -> int:
        before = len(self)
        page.wait_for_timeout(seconds * 1000)
        return len(self) - before


def opened(window: Any, board: Board, path: str = "/") -> Any:
    page = window.new_page()
    page.polls = Polls(page)
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: page.complaints.append(message.text) if "Policy" in message.text else None)
    page.goto(board.url + path)
    says(page, "Live")
    return page


def says(page: Any, title: str, seconds: float = 20) -> None:
    """Wait until the page's live region has this title."""
    page.locator("#condition-title", has_text=re.compile(f"^{title}$")).wait_for(timeout=seconds * 1000)


def tile(page: Any, build: int) -> Any:
    return page.locator(f'.mosaic li[data-id="{build}"]')


def sign_in(page: Any, name: str) -> None:
    with page.expect_navigation(wait_until="load"):
        page.get_by_role("button", name=name).click()
    says(page, "Live")


def test_an_unchanged_feed_is_a_304_that_the_page_sees(page: Any) -> None:
    page.locator("#last-status", has_text="304").wait_for()

    assert page.polls[-1].headers["if-none-match"].startswith('W/"')
    assert page.locator("#ratio").inner_text() != "0 %"
    assert page.complaints == []


def test_a_change_is_shown_within_one_interval(page: Any, board: Board) -> None:
    began = time.monotonic()

    build = board.build()
    tile(page, build).wait_for()

    assert time.monotonic() - began < INTERVAL + 1
    board.delete(build)
    tile(page, build).wait_for(state="detached")


def test_a_hidden_page_and_one_offline_ask_nothing_and_catch_up_afterwards(
    page: Any, window: Any, board: Board
) -> None:
    for title, leave, come_back in (
        ("Asleep", lambda: page.dispatch_event("body", "test-hide"), lambda: page.dispatch_event("body", "test-show")),
        ("Offline", lambda: window.set_offline(True), lambda: window.set_offline(False)),
    ):
        leave()
        says(page, title)
        build = board.build()
        assert page.polls.during(page, 2 * INTERVAL) == 0
        come_back()
        tile(page, build).wait_for(timeout=(INTERVAL + 2) * 1000)
        says(page, "Live")


def test_two_tabs_have_one_poller_and_the_second_takes_over(page: Any, window: Any, board: Board) -> None:
    second = opened(window, board)
    second.get_by_text("Another tab of this browser polls for us.").wait_for()
    assert page.polls.during(second, INTERVAL) >= 1
    asked = len(second.polls)

    build = board.build()
    tile(second, build).wait_for()
    tile(page, build).wait_for()
    assert len(second.polls) == asked

    page.close()
    another = board.build()
    tile(second, another).wait_for()
    assert len([poll for poll in second.polls if "since=" not in poll.url]) == 1


def test_a_server_that_restarts_is_waited_for(page: Any, board: Board) -> None:
    board.stop()
    says(page, "The server does not answer")
    assert tile(page, 13).is_visible()

    board.start()
    page.get_by_role("button", name="Try now").click()

    says(page, "Live")


def test_a_429_is_honoured(page: Any) -> None:
    page.route("**/api/status/**", lambda route: route.fulfill(status=429, headers={"Retry-After": "6"}, body="{}"))
    says(page, "Limited")
    page.unroute("**/api/status/**")

    for event in ("test-hide", "test-show"):
        page.dispatch_event("body", event)
    assert page.polls.during(page, 5) == 0

    says(page, "Live")


def test_a_410_brings_a_first_sync_that_sweeps(page: Any, board: Board) -> None:
    build = board.build()
    tile(page, build).wait_for()
    page.get_by_role("button", name="Pause").click()
    says(page, "Paused")
    board.delete(build)
    board.manage("pollable", "epoch", "board.build")
    asked = len(page.polls)

    page.get_by_role("button", name="Resume").click()
    says(page, "Resyncing")
    says(page, "Live")

    tile(page, build).wait_for(state="detached")
    statuses = [poll.response().status for poll in page.polls[asked : asked + 2]]
    assert statuses == [410, 200]
    assert tile(page, 13).is_visible()


def test_another_user_sees_nothing_of_the_one_before(page: Any, window: Any, board: Board) -> None:
    sign_in(page, "alice")
    page.get_by_role("heading", name="compiler").wait_for()
    other = opened(window, board)
    with other.expect_navigation(wait_until="load"):
        other.get_by_role("button", name="Sign out").click()

    asked = len(other.polls)
    sign_in(other, "bob")
    says(page, "Someone else has signed in|Stopped")

    assert page.locator(".card").count() == 0
    assert [heading.inner_text() for heading in other.locator(".card h2").all()] == ["website"]
    firsts = [poll for poll in other.polls[asked:] if "/api/builds/" in poll.url and "since=" not in poll.url]
    assert ["if-none-match" in first.headers for first in firsts] == [False]


def test_a_page_that_slept_while_the_user_changed_wakes_as_the_new_one(page: Any, window: Any, board: Board) -> None:
    sign_in(page, "alice")
    page.get_by_role("heading", name="compiler").wait_for()
    page.dispatch_event("body", "test-hide")
    other = opened(window, board)
    with other.expect_navigation(wait_until="load"):
        other.get_by_role("button", name="Sign out").click()
    sign_in(other, "bob")

    with page.expect_navigation(wait_until="load"):
        page.dispatch_event("body", "test-show")
    says(page, "Live")

    assert [heading.inner_text() for heading in page.locator(".card h2").all()] == ["website"]


def test_the_log_of_a_build_is_shown_as_it_grows_and_begins_anew_with_it(page: Any, board: Board) -> None:
    sign_in(page, "alice")
    build = board.build()
    log = board.logs / f"{build}.log"
    tile(page, build).click()
    state, text = page.locator("#build-log-state"), page.locator("#build-log-text")
    state.get_by_text("Nothing yet").wait_for()

    log.write_text("one \u00e9\n")
    text.get_by_text("one \u00e9").wait_for()
    with log.open("a") as end:
        end.write("two <b>\u20ac</b>\n")
    text.get_by_text("two <b>\u20ac</b>").wait_for()
    assert text.inner_text() == "one \u00e9\ntwo <b>\u20ac</b>\n"
    log.write_text("anew\n")
    page.locator("#build-log-text", has_text=re.compile(r"^anew\s*$")).wait_for()

    asked = [poll for poll in page.polls if "/log/" in poll.url]
    statuses = [poll.response().status for poll in asked[:-1]]
    assert {200, 206, 304} >= set(statuses) >= {200, 206}
    page.keyboard.press("Escape")
    assert page.complaints == []
    last = len([poll for poll in page.polls if "/log/" in poll.url])
    page.wait_for_timeout(2000)
    assert len([poll for poll in page.polls if "/log/" in poll.url]) == last


def test_a_log_is_for_members_and_opens_by_keyboard(page: Any, board: Board) -> None:
    build = board.build()
    tile(page, build).locator("button").focus()

    page.keyboard.press("Enter")

    page.locator("#build-log-state", has_text="For members of the project only").wait_for()
    page.get_by_role("button", name="Close").click()
    assert page.locator("#build-log").is_hidden()


def test_what_users_write_is_text(page: Any, board: Board) -> None:
    build = board.build(author="<img src=x onerror=alert(1)>", branch="<script>alert(1)</script>")
    tile(page, build).wait_for()

    assert page.get_by_text("by <img src=x onerror=alert(1)>").count() == 1
    assert page.locator("main img, main script").count() == 0
    assert page.complaints == []


def test_the_page_is_used_by_keyboard_and_moves_nothing_for_those_who_ask(chromium: Any, board: Board) -> None:
    window = chromium.new_context(reduced_motion="reduce")
    page = opened(window, board)
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    says(page, "Paused")
    page.keyboard.press("Enter")
    says(page, "Live")

    tile(page, board.build()).wait_for()

    styles = "nodes => nodes.map(node => getComputedStyle(node).animationName)"
    assert set(page.locator(".is-fresh").evaluate_all(styles)) == {"none"}
    window.close()


def test_rows_and_checkpoint_are_committed_together(window: Any, board: Board) -> None:
    page = window.new_page()
    page.goto(f"{board.url}/api/")

    page.evaluate("window.failsOnce = true")
    first = page.evaluate(KEEP_ROWS)
    page.reload()
    second = page.evaluate(KEEP_ROWS)

    assert (first["before"], first["reasons"][:2]) == (0, ["handler", 0])
    assert second["before"] == first["after"] > 0
    assert second["reasons"] == ["not-modified"]


def test_a_browser_that_is_killed_has_lost_and_doubled_nothing(chromium: Any, board: Board, tmp_path: Path) -> None:
    options = {"executable_path": program("chromium"), "args": ARGUMENTS}
    window = chromium.browser_type.launch_persistent_context(str(tmp_path), **options)
    page = window.new_page()
    page.goto(f"{board.url}/api/")
    first = page.evaluate(KEEP_ROWS)
    kill_users_of(tmp_path)

    window = chromium.browser_type.launch_persistent_context(str(tmp_path), **options)
    page = window.new_page()
    page.goto(f"{board.url}/api/")
    second = page.evaluate(KEEP_ROWS)
    window.close()

    assert second["before"] == first["after"] > 0
    assert second["reasons"] == ["not-modified"]


def kill_users_of(folder: Path) -> None:
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(folder) in command.read_text():
                os.kill(int(command.parent.name), signal.SIGKILL)


class Elsewhere(BaseHTTPRequestHandler):
    """A feed on another origin that never changes."""

    protocol_version = "HTTP/1.1"  # Chromium keeps no tag of an older one
    asked: list[tuple[str, str | None]] = []

    def do_GET(self) -> None:
        tag = self.headers["If-None-Match"]
        self.asked.append((self.command, tag))
        is_first = "since=" not in self.path
        page = {"items": [], "removed": [], "next_since": "a", "has_more": False, "reset": is_first}
        body = json.dumps(page).encode()
        etag = f'W/"{is_first}"'
        headers = {"ETag": etag, "Cache-Control": "max-age=0", "Access-Control-Allow-Origin": "*"}
        if tag != etag:
            headers["Content-Length"] = str(len(body))
        self.send_response(304 if tag == etag else 200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"" if tag == etag else body)

    def do_OPTIONS(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


def test_across_origins_the_browser_asks_with_its_own_tags_and_without_preflight(window: Any, board: Board) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    Thread(target=server.serve_forever, daemon=True).start()
    page = window.new_page()
    page.goto(f"{board.url}/api/")

    reasons = page.evaluate(
        """async (url) => {
          const {Poller} = await import('/static/django_pollable/poller.js');
          const poller = new Poller(url, {onPage: () => {}, pace: {interval: 0.1}});
          const reasons = [];
          await new Promise(resolve => {
            poller.addEventListener('poll', ({detail}) => reasons.push(detail.reason) === 4 && resolve());
            poller.start();
          });
          await poller.stop();
          return reasons;
        }""",
        f"http://127.0.0.1:{server.server_port}/",
    )
    server.shutdown()
    server.server_close()

    assert reasons == ["last", "empty", "empty", "empty"]
    assert Elsewhere.asked[:4] == [("GET", None), ("GET", None), ("GET", 'W/"False"'), ("GET", 'W/"False"')]
