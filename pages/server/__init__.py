"""ASGI middleware around Streamlit, and the settings that the operator makes in the server's secrets.

- ``middleware``: host names, origins and headers. ``visitor_cookie``: identifies browsers on a demo.
- ``sign_in_middleware``: files and links on a server with sign-in. ``upload_middleware``: memory for uploads on a demo.
- ``sign_in_rules``: who may sign in. ``limits``: limits of a demo. ``secrets``: the tables of
  ``.streamlit/secrets.toml``.

:mod:`pages.sign_in` shows the sign-in form.
"""
