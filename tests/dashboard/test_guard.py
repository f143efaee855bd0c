"""Who may look at the dashboard: hosts, origins, tokens and the page's own rules."""

import json
import re

import keras
import pytest

import afina

pytest.importorskip("httpx2", reason="needs the extra web, and httpx2")
pytest.importorskip("starlette", reason="needs the extra web: pip install 'afina[web]'")

import httpx2

from afina.dashboard import start_dashboard
from afina.dashboard.guard import NO_TOKEN, Rights
from afina.errors import ArgumentError, StoreError
from afina.page import BROWSER
from afina.search import Random
from afina.store import MemoryStore
from afina.study import Study
from tests.dashboard.searches import build, search

EVERYTHING = (
    "/", "/api/state", "/api/events", "/api/trial/0", "/api/curves", "/api/advice", "/api/about"
)  # fmt: skip


@pytest.mark.parametrize("path", [*EVERYTHING, "/static/app.js"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[", "10.1.2.3", ""])
def test_a_request_for_another_host_is_refused(visit, folder, path, host):
    assert visit(folder).get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1:8642", "[::1]:8642"])
def test_the_names_of_this_machine_are_known(visit, folder, host):
    assert visit(folder).get("/api/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8642"]
)
def test_a_request_of_another_origin_is_refused(visit, folder, origin):
    client = visit(folder, token="t", actions=True)
    assert client.get("/api/state", headers={"Origin": origin}).status_code == 403
    body = {"do": "stop"}
    answer = client.post("/api/actions", json=body, headers={"Origin": origin})
    assert answer.status_code == 403


def test_other_sites_can_link_to_the_page_but_not_read_its_facts(visit, folder):
    client = visit(folder)
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert client.get("/", headers=elsewhere).status_code == 200
    assert client.get("/api/state", headers=elsewhere).status_code == 403


@pytest.mark.parametrize("path", EVERYTHING)
def test_with_a_token_nothing_is_shown_without_it(visit, folder, path):
    client = visit(folder, token="secret")
    for wrong in ("Bearer other", "Bearer ", "Basic secret", "secret", ""):
        answer = client.get(path, headers={"Authorization": wrong})
        assert (answer.status_code, answer.text) == (401, NO_TOKEN)
    assert client.get("/api/state?token=secret", headers={"Authorization": ""}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(visit, folder):
    client = visit(folder, token="secret")
    del client.headers["Authorization"]
    answer = client.get("/?token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/state").status_code == 200
    client.cookies.clear()
    assert client.get("/?token=wrong").status_code == 401


def test_every_answer_carries_the_rules_of_the_page(visit, folder):
    client = visit(folder)
    for path in ("/", "/api/state", "/static/app.js", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_the_page_needs_no_other_server_and_has_no_script_or_style_within(visit):
    shell = visit(MemoryStore()).get("/").text
    assert not re.search(r"<script(?![^>]*\ssrc=)", shell)
    assert not re.search(r"\son\w+=|style=|javascript:", shell)
    for file in [*BROWSER.glob("*.js"), *BROWSER.glob("*.css"), BROWSER / "index.html"]:
        text = file.read_text(encoding="utf-8")
        addresses = set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, file.name


def test_texts_never_become_markup():
    for file in BROWSER.glob("*.js"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text
        )


def test_the_charting_library_comes_with_its_licence():
    assert "MIT" in (BROWSER / "vendor" / "uPlot.LICENSE").read_text(encoding="utf-8")
    assert (BROWSER / "vendor" / "uPlot.iife.min.js").stat().st_size < 60_000


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_files_outside_of_the_page_are_not_served(visit, folder, path):
    assert visit(folder).get(path).status_code in (403, 404)


def test_another_address_than_this_machines_own_demands_a_token():
    dashboard = start_dashboard(MemoryStore(), host="0.0.0.0", port=0, background=True)
    dashboard.stop()
    assert re.search(r"\?token=[\w-]{32}", dashboard.url)


def test_an_address_that_cannot_be_used_is_an_error_that_names_it():
    first = start_dashboard(MemoryStore(), port=0, background=True)
    port = int(first.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(ArgumentError, match=rf"must be able to listen, but got '127.0.0.1:{port}'"):
        start_dashboard(MemoryStore(), port=port)
    first.stop()


def test_a_folder_without_a_search_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="must hold a search"):
        start_dashboard(tmp_path)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("afina.dashboard.serve.NEEDED", ("no_such_package",))
    with pytest.raises(ArgumentError, match=r"needs no_such_package: pip install 'afina\[web\]'"):
        start_dashboard(MemoryStore())


def test_a_server_for_all_addresses_knows_addresses_but_no_foreign_names():
    rights = Rights(host="0.0.0.0", token="t")
    assert rights.knows("192.168.1.5:8642")
    assert rights.knows("localhost:8642")
    assert not rights.knows("evil.example:8642")


def test_what_is_new_is_streamed_by_a_real_server():
    store = MemoryStore()
    search(store, 2)
    dashboard = start_dashboard(store, port=0, background=True)
    address = f"{dashboard.url}api/events?version=0"
    with httpx2.stream("GET", address, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        assert len(first["rows"]) == 2
        Study(build, objective="val_accuracy", algorithm=Random(0), store=store).ask()
        news = json.loads(next(line for line in lines if line.startswith("data: "))[6:])
        assert [row[0] for row in news["rows"]] == [2]
    dashboard.stop()


def test_a_tuner_shows_its_own_search(tmp_path):
    tuner = afina.RandomSearch(Nothing(), "val_loss", max_trials=2, directory=tmp_path)
    page = tuner.dashboard(port=0)
    tuner.search()
    state = httpx2.get(f"{page.url}api/state", timeout=30).json()
    page.stop()
    assert state["search"]["name"] == tuner.project_name
    assert state["live"]["reason"] == "max_trials=2 trials have been run"


class Nothing(afina.HyperModel):
    """Trains nothing."""

    def build(self, hp):
        hp.Float("rate", 0.0, 1.0)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(loss="mse")
        return model

    def fit(self, hp, model, *args, **kwargs):
        return {"val_loss": hp.get("rate")}
