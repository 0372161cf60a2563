"""The style sheet of the tear sheet: screen, phone, print, light and dark.

Belongs here: CSS. Does not belong here: content. The variables are those that charts use (`charts.CSS_VARIABLES`).
"""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b2330;--muted:#5d6878;--grid:#dfe3e9;--idle:#b9c0ca;
--panel:#f5f7fa;--accent:#0072b2;--good:#00714f;--bad:#a83a00;
--series-1:#0072b2;--series-2:#e69f00;--series-3:#009e73;--series-4:#cc79a7;--series-5:#56b4e9;--series-6:#d55e00;
--series-7:#8c7a1f;--series-8:#7b61c9;--series-9:#6b8e9f}
@media screen and (prefers-color-scheme:dark){:root{--paper:#12161d;--ink:#e8ecf2;--muted:#9aa5b4;--grid:#2b323d;
--idle:#566070;--panel:#1a2029;--accent:#5ab4ea;--good:#3ccf9f;--bad:#ff9a62;
--series-1:#4aa8e0;--series-2:#f0b433;--series-3:#2fc198;--series-4:#dc97bd;--series-5:#8ccdf2;--series-6:#f0803c;
--series-7:#c4b04c;--series-8:#a896e0;--series-9:#8fb3c4}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans",sans-serif}
main{max-width:1000px;margin:0 auto;padding:32px 24px 48px}
header{border-bottom:3px solid var(--accent);padding-bottom:20px;margin-bottom:28px}
.kicker{margin:0;color:var(--muted);font-size:.875rem;letter-spacing:.02em}
h1{margin:2px 0 4px;font-size:2rem;line-height:1.2;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{margin:44px 0 6px;font-size:1.25rem;line-height:1.3}
h3{margin:28px 0 4px;font-size:1rem}
p{margin:6px 0 14px;max-width:75ch}
.lead{font-size:1.0625rem;margin:14px 0 0}
.note{color:var(--muted);font-size:.875rem}
.tiles{display:grid;grid-template-columns:repeat(3,1fr);gap:12px;margin:0 0 8px;padding:0}
.tile{background:var(--panel);border-radius:8px;padding:14px 16px}
.tile dt{color:var(--muted);font-size:.8125rem}
.tile dd{margin:2px 0 0;font-size:1.5rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums}
.tile dd+dd{font-size:.8125rem;font-weight:400;color:var(--muted)}
.warning{border-left:4px solid var(--bad);background:var(--panel);padding:10px 14px;margin:16px 0;
border-radius:0 8px 8px 0}
.warning p{margin:0}
.scroll{overflow-x:auto;margin:10px 0 6px}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{text-align:left;padding:8px 14px 8px 0;border-bottom:1px solid var(--grid);vertical-align:top;
font-weight:400;overflow-wrap:break-word}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--muted);font-size:.8125rem;border-bottom:1px solid var(--muted);vertical-align:bottom;
overflow-wrap:normal}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.strong>*{font-weight:650}
tfoot th,tfoot td{border-bottom:0;border-top:1px solid var(--muted);font-weight:650}
.nowrap{white-space:nowrap}
.tag{display:block;color:var(--muted);font-size:.8125rem;line-height:1.3;white-space:nowrap;font-weight:400}
.number .tag{white-space:normal}
.good{color:var(--good)}.bad{color:var(--bad)}
.bar{display:block;height:5px;margin-top:4px;border-radius:3px;background:var(--grid);min-width:70px;overflow:hidden}
.bar i{display:block;height:100%;background:var(--series-1)}
figure{margin:8px 0 4px}
figure svg{display:block;width:100%;height:auto}
figure svg text{font-family:inherit!important}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;margin:4px 0 6px;padding:0;list-style:none;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:7px}
.legend i{flex:none;width:18px;height:0;border-top:3px solid var(--key)}
.legend i.dashed{border-top-style:dashed}.legend i.dotted{border-top-style:dotted}
.legend i.block{width:12px;height:12px;border:0;border-radius:3px;background:var(--key)}
.legend i.faint{opacity:.55}
.legend i.dot{width:6px;height:6px;margin:0 6px;border:0;border-radius:50%;background:var(--key);opacity:.6}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 40px;align-items:start}
.pair h3{margin-top:16px}
.pair>div>.scroll{margin-bottom:18px}
.measures{margin:6px 0 0;font-size:.9375rem}
.measures>div{display:flex;justify-content:space-between;gap:16px;padding:6px 0;border-bottom:1px solid var(--grid)}
.measures .note{display:block;font-size:.8125rem;line-height:1.35}
.measures dd{margin:0;font-weight:650;white-space:nowrap;font-variant-numeric:tabular-nums}
.part{background:none}.part i.gain{background:var(--series-1)}.part i.loss{background:var(--series-6)}
.narrow{display:none}
dl.facts{display:grid;grid-template-columns:minmax(130px,max-content) 1fr;gap:4px 20px;margin:10px 0;font-size:.9375rem}
dl.facts dt{color:var(--muted)}dl.facts dd{margin:0;overflow-wrap:anywhere}
.parameters{columns:2;column-gap:40px;padding:0;margin:10px 0;list-style:none;font-size:.875rem}
.parameters li{display:flex;justify-content:space-between;gap:16px;padding:3px 0;border-bottom:1px solid var(--grid);
break-inside:avoid}
.parameters span:first-child{color:var(--muted);overflow-wrap:anywhere}
.parameters span:last-child{font-variant-numeric:tabular-nums;text-align:right;overflow-wrap:anywhere}
footer{margin-top:48px;padding-top:16px;border-top:1px solid var(--grid);color:var(--muted);font-size:.8125rem}
@media screen and (max-width:640px){
main{padding:20px 16px 32px}h1{font-size:1.625rem}h2{margin-top:36px}
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:10px 12px}.tile dd{font-size:1.25rem}
.wide{display:none}.narrow{display:block}
.parameters{columns:1}.pair{grid-template-columns:1fr}
dl.facts{grid-template-columns:1fr;gap:0}dl.facts dd{margin-bottom:8px}
table.plain{font-size:.875rem}
table.plain thead th:first-child,table.plain tbody th{position:sticky;left:0;background:var(--paper)}
table.plain td,table.plain th{padding-right:10px}
table.plain thead th{white-space:normal;overflow-wrap:anywhere;min-width:76px}
.narrow table.plain thead th{min-width:0;overflow-wrap:normal}.narrow .tag{white-space:normal}
table.cards,table.cards tbody,table.cards tfoot,table.cards tr,table.cards th,table.cards td{display:block;width:100%}
table.cards thead{display:none}
table.cards tr{padding:10px 0;border-bottom:1px solid var(--grid)}
table.cards th,table.cards td{border:0;padding:1px 0;overflow-wrap:anywhere}
table.cards tbody th,table.cards tfoot th{font-weight:650}
table.cards td{display:flex;justify-content:space-between;gap:16px;text-align:right;white-space:normal}
table.cards td:empty{display:none}
table.cards td::before{content:attr(data-label);color:var(--muted);font-weight:400;text-align:left;flex:none}
.bar{display:none}.bar.part{display:block}}
@media print{@page{size:A4;margin:14mm}
html{font-size:11px}body{font-size:1rem}main{max-width:none;padding:0}h2{margin-top:22px}
.tile{border:1px solid var(--grid);background:none;padding:8px 10px}
.tiles{grid-template-columns:repeat(6,1fr);gap:6px}
figure svg{max-height:58mm}h2,h3{break-after:avoid}
tr,figure,footer,.tile,.warning,.measures>div{break-inside:avoid}thead{display:table-header-group}tfoot{display:table-row-group}
h2+.note{break-after:avoid}
.scroll{overflow:visible}th,td{padding:4px 10px 4px 0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
""".strip()
