// What connects a widget to Streamlit. Python puts this in front of each widget's own code (see `component.py`).

// Return the function that Streamlit calls at each rerun: it keeps one widget of a class for each element on the page.
function mount(WidgetClass) {
  const widgets = new WeakMap()
  return component => {
    const { parentElement } = component
    if (!widgets.has(parentElement)) widgets.set(parentElement, new WidgetClass(parentElement))
    widgets.get(parentElement).update(component)
    return () => {
      widgets.get(parentElement)?.remove()
      widgets.delete(parentElement)
    }
  }
}

// Let a component of the library receive its data from Streamlit and tell it its events.
const served = Base => class extends Base {
  update({ data, setTriggerValue }) {
    this.tell = setTriggerValue
    super.update(data)
  }
}

const REPEAT = 4000 // milliseconds without an acknowledgement after which an event is sent again

// Let a widget count its events. Python sends the number of the last event it has seen back in `data.seq`: a message
// with a smaller number was on its way when the event happened, and would undo it.
const counting = Base => class extends Base {
  seq = -1
  acknowledged = -1

  // Store a message; return whether Python has seen our last event.
  receive({ data, setTriggerValue }) {
    this.data = data
    this.trigger = setTriggerValue
    this.acknowledged = data.seq
    if (data.seq < this.seq) return false
    this.seq = data.seq
    return true
  }

  // Send an event, and once more if Python does not acknowledge it: Streamlit can lose one that arrives while a page
  // restarts its script. Python counts events, so one that arrives twice counts once.
  tell(name, event) {
    this.seq += 1
    const message = { ...event, seq: this.seq }
    this.trigger(name, message)
    clearTimeout(this.repeating)
    this.repeating = setTimeout(() => this.acknowledged < message.seq && this.trigger(name, message), REPEAT)
  }

  remove() {
    clearTimeout(this.repeating)
    super.remove()
  }
}

const CountingWidget = counting(Widget)
