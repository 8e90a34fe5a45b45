class ServedPatchBoard extends counting(PatchBoard) {
  update(component) {
    if (!this.receive(component)) return
    const { data } = component
    super.update(data)
    if (this.source === data.image) return
    this.source = data.image
    const image = new Image()
    image.onload = () => this.source === data.image && this.show(image, data.covered)
    image.src = data.image
  }

  tell(name, event) {
    if (name === "cover") super.tell(name, event) // not each patch of a stroke
  }
}

export default mount(ServedPatchBoard)
