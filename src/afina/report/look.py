"""The CSS of the page, for light and dark screens, and the script that draws its figures."""

from __future__ import annotations

import json

from afina.report.style import BAND, BLUE, DARK, DIM, GRID, INK, PAPER, RED

_SIDES = {
    "ink": (INK, DARK[INK]),
    "paper": (PAPER, DARK[PAPER]),
    "line": (GRID, DARK[GRID]),
    "blue": (BLUE, DARK[BLUE]),
    "red": (RED, DARK[RED]),
    "dim": (DIM, DARK[DIM]),
    "band": (BAND, DARK[BAND]),
    "back": ("#f2f4f7", "#10161d"),
    "code": ("#eff2f5", "#0f151c"),
    "head": ("#12324a", "#0b2538"),
}
"""The page's colours by name: on a light screen, on a dark screen."""


def _colours(side: int) -> str:
    return "".join(f"--{name}:{pair[side]};" for name, pair in _SIDES.items())


CSS = (
    f""":root{{color-scheme:light dark;{_colours(0)}}}
@media(prefers-color-scheme:dark){{:root{{{_colours(1)}}}}}"""
    + """
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back)}
header{background:var(--head);color:#fff;padding:1.1rem}
h1,header>*{max-width:1480px;margin:0 auto}
h1{font-size:1.5rem;overflow-wrap:anywhere}
main{max-width:1500px;margin:0 auto;padding:.6rem}
section{background:var(--paper);border-radius:8px;padding:1rem;margin:.8rem 0;
box-shadow:0 1px 3px #0002}
h2{margin:.1rem 0 .6rem;font-size:1.15rem}
h3{margin:.8rem 0 .3rem;font-size:1rem}
p{margin:.35rem 0;max-width:80ch;overflow-wrap:anywhere}
pre{background:var(--code);padding:.7rem;border-radius:6px;overflow-x:auto;font-size:.85rem}
table{border-collapse:collapse;font-size:.88rem;min-width:60%}
th,td{text-align:left;padding:.25rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}
th{white-space:nowrap}
td:last-child{min-width:20rem;overflow-wrap:anywhere}
td:first-child:last-child,td:nth-child(2):last-child{min-width:0}
dl.values{display:grid;gap:.5rem 1.4rem;margin:.5rem 0;
grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr))}
dl.values div{min-width:0;border-bottom:1px solid var(--line);padding-bottom:.25rem}
dt{font-size:.82rem;opacity:.75;overflow-wrap:anywhere}
dd{margin:0;font-weight:600;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
summary{cursor:pointer;white-space:nowrap}
details{font-size:.95em}
.scroll,.wide{overflow-x:auto}
.wide>div{min-width:720px}
.grid{display:grid;gap:.4rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,290px),1fr))}
.pairs{display:grid;gap:.6rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}
.grid>*,.pairs>*,.figure{min-width:0}
.legend span{display:inline-block;margin-right:1.1rem}
.legend i{display:inline-block;width:.7rem;height:.7rem;margin-right:.4rem;border-radius:50%}
.legend .blue{background:var(--blue)}
.legend .dim{background:var(--dim)}
.legend .star{border-radius:0;width:1rem;height:1rem;background:var(--red);vertical-align:-.15rem;
clip-path:polygon(50% 0,61% 36%,98% 36%,68% 58%,80% 95%,50% 72%,20% 95%,32% 58%,2% 36%,39% 36%)}
.legend .band{border-radius:2px;width:1.2rem;background:var(--band)}
@media(max-width:600px){main{padding:.2rem}section{padding:.7rem}}
"""
)

_SCRIPT = """
const dark=matchMedia('(prefers-color-scheme:dark)'),touch=matchMedia('(pointer:coarse)').matches;
const paint=(v,on)=>typeof v==='string'?(on&&DARK[v]||v):Array.isArray(v)?v.map(e=>paint(e,on)):
v&&typeof v==='object'?Object.fromEntries(Object.entries(v).map(([k,e])=>
[k,paint(e,/color/i.test(k))])):v;
const draw=()=>document.querySelectorAll('.drawing').forEach(place=>{
if(place.closest('details:not([open])'))return;
let f=JSON.parse(place.nextElementSibling.textContent);if(dark.matches)f=paint(f,false);
if(touch)f.layout.dragmode=false;
Plotly.react(place,f.data,f.layout,{responsive:true,displaylogo:false,displayModeBar:false})});
document.querySelectorAll('details').forEach(fold=>fold.addEventListener('toggle',draw));
dark.addEventListener('change',draw);addEventListener('load',draw);
"""


def script() -> str:
    """The script that draws each figure, and redraws it when the colour scheme changes."""
    return f"const DARK={json.dumps(DARK)};{_SCRIPT}"
