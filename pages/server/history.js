// Runs in every page before Streamlit's own script.

// The folder that the pages are served from. Streamlit would first look for the server below the opened page, at
// /attention/_stcore/health, and get a 404.
window.__streamlit = { ...window.__streamlit, BACKEND_BASE_URL: new URL(".", location.href).href }

// One view is one entry of the browser's history. Streamlit adds an entry whenever the server changes a query
// parameter, several while a page loads. Here such a change replaces the entry, unless it opens another view.
;(() => {
  const views = ["tour"] // query parameters whose values are views of their own on a page
  const push = history.pushState.bind(history)
  let left = location.href // the address when the visitor last did something

  // The first parameters of a new page arrive before its path: they must not stay in the entry of the page that is left.
  addEventListener("click", (event) => { if (event.detail <= 1) left = location.href }, { capture: true })
  addEventListener("keydown", (event) => { if (!event.repeat) left = location.href }, { capture: true })

  history.pushState = (state, title, address) => {
    const next = new URL(address ?? "", location.href)
    const here = new URL(location.href)
    const same = (name) => next.searchParams.get(name) === here.searchParams.get(name)
    if (next.pathname !== here.pathname) {
      if (new URL(left).pathname === here.pathname) history.replaceState(history.state, "", left)
      push(state, title, address)
    } else if (views.every(same)) {
      history.replaceState(state, title, address)
    } else {
      push(state, title, address)
    }
  }
})()
