"""The pages on the case studies say what the case studies give."""

import json
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "website"))
    import case_studies

    return case_studies


def test_the_pages_show_what_was_measured_and_notice_another_figure(script: ModuleType) -> None:
    found = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert list(script.stale(found)) == []
    for page in script.PAGES.values():
        assert len(script.MARK.findall(page.read_text(encoding="utf-8"))) >= 3
    found["fashion-mnist"]["full"]["searches"][0]["epochs"] += 1
    assert len(list(script.stale(found))) == len(script.PAGES)


@pytest.mark.service
@pytest.mark.timeout(900)
@pytest.mark.skipif(not os.environ.get("AFINA_DATA"), reason="needs the real data: AFINA_DATA")
def test_a_small_run_gives_what_it_gave_when_the_pages_were_written(script: ModuleType) -> None:
    found = json.loads(script.RESULTS.read_text(encoding="utf-8"))
    assert list(script.different(found)) == []
