export default mount(served(ConfusionMatrix))
