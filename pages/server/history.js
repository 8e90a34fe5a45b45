// Runs in every page before Streamlit's own script.

// The folder that the pages are served from. Streamlit would first look for the server below the opened page, at
// /attention/_stcore/health, and get a 404.
window.__streamlit = { ...window.__streamlit, BACKEND_BASE_URL: new URL(".", location.href).href }

// One view is one entry of the browser's history. Streamlit adds an entry whenever the server changes a query
// parameter, several while a page loads. Here such a change replaces the entry, unless it opens another view.
;(() => {
  const views = ["tour"] // query parameters whose values are views of their own on a page
  const marker = "to" // MARKER of pages/ui/navigation.py: the page that the next parameters belong to
  const push = history.pushState.bind(history)
  let leaving = false // the parameters of a new page arrive before its path

  addEventListener("popstate", () => { leaving = false }, { capture: true })

  history.pushState = (state, title, address) => {
    const here = new URL(location.href)
    const next = new URL(address ?? "", here)
    const page = next.searchParams.get(marker)
    const same = (name) => next.searchParams.get(name) === here.searchParams.get(name)
    if (page !== null) next.searchParams.delete(marker)
    if (next.pathname !== here.pathname) {
      leaving = false
      push(state, title, next)
    } else if (page !== null) {
      leaving = page !== here.pathname.split("/").pop()
    } else if (!leaving) {
      if (views.every(same)) history.replaceState(state, title, next)
      else push(state, title, next)
    }
  }
})()
