"""How forms and run views look: Jupyter's own colours, so that light and dark themes both fit."""

from __future__ import annotations

from workbench.theme import ERROR, LINE, MONO, MUTED, TEXT

CSS = f"""<style>
.wb-form, .wb-view {{ font-family: var(--jp-ui-font-family, sans-serif); font-size: 13px; color: {TEXT}; max-width: 1080px; }}
.wb-form .widget-html-content, .wb-view .widget-html-content {{ line-height: 1.35; font-size: 13px; color: {TEXT}; }}
.wb-form {{ border: 1px solid {LINE}; border-radius: 4px; padding: 8px 12px; overflow: hidden; }}
.wb-style {{ display: none; }}
.wb-head b {{ font-size: 15px; }}
.wb-muted, .wb-help {{ color: {MUTED}; font-size: 12px; }}
.wb-title {{ font-weight: 600; margin-top: 6px; border-bottom: 1px solid {LINE}; }}
.wb-grid {{ display: grid; grid-template-columns: 130px minmax(180px, 380px) 60px minmax(150px, 1fr);
  column-gap: 10px; row-gap: 2px; align-items: start; overflow: visible; }}
.wb-no-units .wb-grid {{ grid-template-columns: 110px minmax(180px, 340px) 0 minmax(240px, 1fr); column-gap: 8px; }}
.wb-grid > * {{ min-width: 0; margin-left: 0; margin-right: 0; }}
.wb-add {{ margin-left: 140px !important; }}
.wb-label .widget-html-content {{ line-height: 28px !important; text-align: right; overflow-wrap: anywhere; }}
.wb-unit .widget-html-content {{ line-height: 28px !important; color: {MUTED}; white-space: nowrap; }}
.wb-say .widget-html-content {{ min-height: 32px; font-size: 12px; display: grid; align-content: center; }}
.wb-say .widget-html-content > * {{ grid-area: 1 / 1; align-self: center; line-height: 15px; overflow-wrap: anywhere; }}
.wb-table, .wb-table > .widget-html-content {{ min-width: 0 !important; max-width: 100%; }}
.wb-table > .widget-html-content {{ overflow-x: auto; }}
.wb-table table {{ border-collapse: collapse; margin: 4px 0; color: {TEXT}; }}
.wb-table th, .wb-table td {{ padding: 3px 10px 3px 4px; border-bottom: 1px solid {LINE}; font-size: 12px; line-height: 16px; }}
.wb-rows td {{ white-space: nowrap; }}
.wb-table tbody tr:hover {{ background: var(--jp-layout-color2, #eee); }}
.wb-table pre {{ margin: 4px 0; font-family: {MONO}; font-size: 12px; white-space: pre-wrap; overflow-wrap: anywhere; color: {MUTED}; }}
.wb-bad {{ color: {ERROR}; font-size: 12px; }}
.wb-wrong input, .wb-wrong textarea, .wb-wrong select {{ border-color: {ERROR} !important; }}
.wb-check label {{ width: auto !important; white-space: nowrap; font-size: 13px; display: flex; align-items: center; }}
.wb-check input[type="checkbox"] {{ margin: 0 5px 0 0; align-self: center; }}
.wb-area textarea {{ field-sizing: content; min-height: 28px; max-height: 160px; resize: vertical; line-height: 17px;
  padding: 4px 8px; width: 100%; box-sizing: border-box; }}
.wb-area.jupyter-widgets {{ height: auto; }}
button.wb-fold {{ align-self: flex-start; text-align: left; background: none !important; box-shadow: none !important;
  padding: 0; color: {MUTED} !important; }}
.wb-offer .widget-html-content {{ line-height: 28px !important; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.wb-line, .wb-line > .widget-html-content {{ min-width: 0 !important; width: 100%; }}
.wb-silent {{ color: {ERROR}; }}
.wb-run {{ display: flex; min-width: 0; align-items: center; gap: 10px; height: 26px; }}
.wb-badge {{ color: #fff; border-radius: 3px; padding: 1px 7px; font-size: 11px; font-weight: 600; letter-spacing: .03em; }}
.wb-bar {{ flex: 0 0 180px; height: 8px; border-radius: 4px; background: var(--jp-layout-color3, #ddd); overflow: hidden; }}
.wb-bar > div {{ height: 100%; transition: width .1s linear; }}
.wb-figure {{ font-variant-numeric: tabular-nums; white-space: nowrap; }}
.wb-now {{ color: {MUTED}; min-width: 0; flex: 0 1 auto; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.wb-log {{ display: flex !important; flex-direction: column-reverse; border: 1px solid {LINE}; border-radius: 3px;
  background: var(--jp-layout-color0, #fff); padding: 2px 6px; }}
.wb-log > .widget-html-content {{ margin-bottom: auto; }}
.wb-log pre {{ margin: 0; font-family: {MONO}; font-size: 12px; line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; }}
.wb-outputs {{ display: flex; flex-wrap: wrap; gap: 12px; margin-top: 6px; }}
.wb-view details pre {{ font-family: {MONO}; font-size: 12px; overflow: auto; max-height: 320px; margin: 4px 0; }}
.wb-view mark {{ background: #ffe08a; color: #000; }}
</style>"""
