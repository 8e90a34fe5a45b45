export default mount(served(HeadBoard))
