export default mount(served(Curves))
