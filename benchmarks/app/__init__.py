"""Measure the running app: speed in the browser, many visitors, uploads and hostile inputs."""
