class ServedHeatMap extends HeatMap {
  update({ data }) {
    super.update({ ...data, values: data.values.getChildAt(0).toArray() })
  }
}

export default mount(ServedHeatMap)
