// Runs in every page before Streamlit's own script.

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
    // frame.css reserves room for a sidebar that will be open.
    if (innerWidth > widest && localStorage.getItem(choice) !== "true") {
      document.documentElement.dataset.sidebar = "expected"
      document.documentElement.style.setProperty("--sidebar-width", `${parseInt(localStorage.getItem("sidebarWidth")) || 300}px`)
    }
  } catch {} // without localStorage, Streamlit alone decides when to fold
})()
