// Small parts of the page: components with their own styles, explanations of terms, the theme.

import { make } from "shared"
import { STYLES } from "styles"

// Put a component of the app into an element. Its shadow root keeps its styles apart from those of the page.
export function component(parent, Class, name) {
  const host = make("div", "component")
  parent.append(host)
  const root = host.attachShadow({ mode: "open" })
  const sheet = new CSSStyleSheet()
  sheet.replaceSync(STYLES[name])
  root.adoptedStyleSheets = [sheet]
  return new Class(root)
}

let words = {}

export function setWords(glossary) {
  words = glossary
}

// A button that explains a term of the glossary.
export function term(name) {
  const { title, text } = words[name]
  const id = `term-${name.replaceAll(/\W/g, "-")}-${document.querySelectorAll("[popover]").length}`
  const button = make("button", "term", "?", { type: "button", popovertarget: id, "aria-label": `What is ${title}?` })
  const box = make("div", "explanation", "", { popover: "", id, role: "note" })
  box.append(make("b", "", title), make("p", "", text))
  document.body.append(box)
  return button
}

// The theme of the system, or the one that was chosen here. A page that is opened as a file may have no storage.
export function offerThemes(select) {
  const root = document.documentElement
  const store = action => {
    try {
      return action(localStorage)
    } catch {
      return null
    }
  }
  const use = theme => {
    if (theme) root.dataset.theme = theme
    else delete root.dataset.theme
  }
  select.value = store(storage => storage.getItem("theme")) ?? ""
  use(select.value)
  select.onchange = () => {
    use(select.value)
    store(storage => storage.setItem("theme", select.value))
  }
}
