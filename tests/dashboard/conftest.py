import pytest

from afina.dashboard.searches import Searches
from tests.dashboard.searches import search

HOST = "127.0.0.1:8642"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Looks at the store each time, however soon."""
    monkeypatch.setattr("afina.page.watch.PAUSE", 0.0)


@pytest.fixture
def visit():
    """Makes a client of a dashboard; see `create_app`."""
    pytest.importorskip("starlette", reason="needs the extra web: pip install 'afina[web]'")
    pytest.importorskip("httpx2", reason="Starlette's test client needs httpx2")
    from starlette.testclient import TestClient

    from afina.dashboard.app import create_app
    from afina.dashboard.guard import Rights

    opened = []

    def make(place, *, host="127.0.0.1", token=None, actions=False):
        searches = Searches(place)
        opened.append(searches)
        app = create_app(searches, Rights(host=host, token=token, actions=actions))
        client = TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)
        if token is not None:
            client.headers["Authorization"] = f"Bearer {token}"
        return client

    yield make
    for searches in opened:
        searches.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A finished search of 30 trials."""
    place = tmp_path_factory.mktemp("dashboard") / "mine & yours"
    search(place, 30).close()
    return place
