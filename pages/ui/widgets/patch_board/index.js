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
}

export default mount(ServedPatchBoard)
