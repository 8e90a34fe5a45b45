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

// Fold the sidebar in a window of up to 900 px, where it would leave too little room for the page; Streamlit folds it
// only up to 768 px. Streamlit stores what the visitor chooses under the key `choice` and follows it from then on, so
// the value that is stored here is removed when the window is wide.
;(() => {
  const widest = 900
  const choice = "stSidebarCollapsed-"
  const ours = "sidebarFolded"

  const fold = () => {
    if (innerWidth > widest && localStorage.getItem(ours)) {
      localStorage.removeItem(choice)
      localStorage.removeItem(ours)
    } else if (innerWidth <= widest && localStorage.getItem(choice) === null) {
      localStorage.setItem(choice, "true")
      localStorage.setItem(ours, "yes")
    }
  }

  try {
    fold()
    addEventListener("resize", fold)
  } catch {} // a browser without storage folds it as Streamlit does
})()
