// Loaded into every page of a walk (docs/walk.py).

window.walk = {
  shifts: [], // each layout shift that does not come right after an input: its value, and what has moved

  // What is cut: a page wider than its window, elements beyond its edge, text that its own box clips.
  cut() {
    const main = document.querySelector("[data-testid=stMain]") ?? document.documentElement
    const found = []
    for (const box of new Set([document.documentElement, main]))
      if (box.scrollWidth > box.clientWidth + 1) found.push(`the page is ${box.scrollWidth} px wide in ${box.clientWidth}`)
    const { left } = main.getBoundingClientRect()
    const right = left + main.clientWidth
    const beyond = ({ left: from, right: to }) => Math.max(to - right, left - from) - 1
    const inDialog = node => node.closest("dialog") // it covers the sidebar too
    const above = node => node.parentElement ?? node.getRootNode().host
    const says = node => {
      const kind = node.className?.baseVal ?? node.className
      return `<${node.nodeName.toLowerCase()} ${kind}> ${(node.textContent ?? "").trim().slice(0, 40)}`
    }
    // Ignore an element that can be scrolled into view, or whose ancestor is beyond the edge and reported.
    const isIgnored = node => {
      for (let frame = above(node); frame && frame !== main; frame = above(frame)) {
        const box = frame.getBoundingClientRect()
        if (getComputedStyle(frame).overflowX !== "visible" || (box.width && beyond(box) > 0)) return true
      }
      return false
    }
    const look = root => {
      for (const node of root.querySelectorAll("*")) {
        if (node.shadowRoot) look(node.shadowRoot)
        const box = node.getBoundingClientRect()
        const style = getComputedStyle(node)
        if (box.width < 3 || box.height < 3 || style.visibility === "hidden") continue
        if (node.closest("svg, .katex-mathml")) continue
        const hasText = [...node.childNodes].some(one => one.nodeType === Node.TEXT_NODE && one.data.trim())
        const clips = ["hidden", "clip"].includes(style.overflowX) && style.textOverflow !== "ellipsis"
        if (hasText && clips && node.scrollWidth > node.clientWidth + 1) found.push(`clipped text in ${says(node)}`)
        if (beyond(box) > 0 && !inDialog(node) && !isIgnored(node)) found.push(`${Math.round(beyond(box))} px beyond the page: ${says(node)}`)
      }
    }
    look(main)
    return found.slice(0, 6)
  },
}

new PerformanceObserver(list => {
  const name = node =>
    node.closest?.("[class*=st-key-]")?.className.match(/st-key-[\w-]+/)[0] ?? node.closest?.("[data-testid]")?.dataset.testid
  for (const one of list.getEntries()) {
    const moved = one.sources.map(({ node }) => node && (name(node.closest ? node : node.parentElement) ?? node.nodeName))
    if (!one.hadRecentInput) window.walk.shifts.push([one.value, [...new Set(moved)].join(", ")])
  }
}).observe({ type: "layout-shift", buffered: true })
