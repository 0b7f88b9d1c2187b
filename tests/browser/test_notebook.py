"""Fragments for notebooks in a real browser: styled themselves, and nothing else restyled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.browser

_PAGE = """<!doctype html><body data-jp-theme-light="LIGHT" style="margin: 9px">
<div id="theirs"><h1>a</h1><h3>b</h3><p class="summary quiet">c <code>d</code></p>
<table class="packets"><tr><th>e<td class="num">f</table><ul class="evidence"><li>g</ul><pre>h</pre><a href="#x">i</a>
<figure class="window"><svg class="drawing ladder"><rect class="band"/><text class="label">j</text></svg></figure>
<main><section class="incident facts"><button class="copy">k</button></section></main></div>
<div id="ours"></div><p id="out"></p>
<script>
const looks = () => JSON.stringify([...document.querySelectorAll("body, #theirs, #theirs *")].map((e) => {
  const style = getComputedStyle(e);
  // Where it stands may move; how it looks may not.
  return [...style].filter((name) => !/^(height|block-size|width|inline-size|.*origin)$/.test(name)).map((name) => style[name]);
}));
const before = looks();
document.getElementById("ours").innerHTML = FRAGMENT;
const cell = getComputedStyle(document.querySelector(".lostsyn-cell"));
document.getElementById("out").textContent =
  [before === looks(), cell.backgroundColor, getComputedStyle(document.querySelector(".verdict")).fontSize].join("|");
</script></body>"""


@pytest.mark.parametrize(("light", "paper"), [("true", "rgb(253, 253, 251)"), ("false", "rgb(21, 24, 28)")])
def test_only_ours_is_styled(sample: Any, load: Callable[..., Any], light: str, paper: str) -> None:
    """The fragment looks as its theme wants it, and every other element as before."""
    fragment = json.dumps(sample.both()._repr_html_()).replace("</", "<\\/")
    loaded = load(_PAGE.replace("LIGHT", light).replace("FRAGMENT", fragment))
    told = re.search('<p id="out">([^<]*)</p>', loaded.dom)
    assert told

    assert ["true", paper, "21px"] == told[1].split("|")
    assert () == loaded.console
