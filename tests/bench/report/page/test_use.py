"""The page by mouse, by keyboard alone, in the dark and on a phone."""

from __future__ import annotations


def test_the_cost_plot_by_mouse_and_by_keyboard(page_file, open_page):
    page = open_page(page_file)
    assert page.get_by_label("Cost", exact=True).locator("option").count() == 3
    page.get_by_label("Cost", exact=True).select_option("parameters")
    canvas = page.locator("#cost-plot")
    canvas.scroll_into_view_if_needed()
    spot = page.evaluate(
        "() => { const p = charts['cost-plot'].getDatasetMeta(0).data.at(-1); return {x: p.x, y: p.y} }"
    )
    canvas.hover(position=spot)
    page.wait_for_function("charts['cost-plot'].tooltip.opacity > 0")
    title, body = page.evaluate(
        "() => { const t = charts['cost-plot'].tooltip; return [t.title[0], t.body[0].lines] }"
    )
    assert title == "unet-64-128-256-512 · baseline · seed 0"
    assert body[0] == "Dice 1.000"
    assert any(line.startswith("record ") for line in body)
    canvas.click(position=spot)
    page.locator("#picked", has_text="unet-64-128-256-512").wait_for()
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.locator("#picked", has_text="unet-32-64-128 ·").wait_for()
    link = page.locator("#picked a").get_attribute("href")
    assert (page_file.parent / link).is_file()
    page.get_by_role("button", name="Show its cases as job B").click()
    assert "unet-32-64-128" in page.locator("#job-b option:checked").inner_text()


def test_by_keyboard_alone(page_file, open_page):
    page = open_page(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "matrix"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.sort || ''"))
    wanted = {"dice", "cost-of", "cost-plot", "patient", "case", "job-a", "job-b", "contours", "next"}
    assert wanted <= reached
    sort = page.locator("#jobs button[data-sort=dice]")
    sort.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.sort") == "dice", "focus stays where it was"
    outline_style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline_style) == "solid"


def test_headings_labels_and_names(page_file, open_page):
    page = open_page(page_file)
    assert page.locator("h1").count() == 1
    names = ["Matrix", "Dice against cost", "Learning curves", "Cases"]
    assert page.locator("h2:visible").all_inner_texts() == names
    unnamed = page.evaluate(
        "[...document.querySelectorAll('select, input, canvas, button')].filter("
        "e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert unnamed == 0
    assert page.locator("#jobs thead th").count() == page.locator("#jobs thead th[scope=col]").count()


def test_dark_light_and_the_phone(page_file, open_page):
    def paper(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = open_page(page_file), open_page(page_file, color_scheme="dark")
    assert paper(light) != paper(dark)
    night = paper(dark)
    dark.get_by_role("button", name="Light").click()
    assert paper(dark) == paper(light)
    dark.reload()
    assert paper(dark) == paper(light), "the choice is kept"
    light.get_by_role("button", name="Dark").click()
    assert paper(light) == night

    phone = open_page(page_file, width=390, has_touch=True, is_mobile=True)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
    first = phone.locator("#jobs tbody th").first
    phone.locator(".scroll").first.evaluate("node => node.scrollLeft = 300")
    assert first.bounding_box()["x"] >= 0, "the network's name stays in sight"
