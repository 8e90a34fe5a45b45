"""ASGI middleware around Streamlit, and the settings that the operator makes in the server's secrets.

- ``middleware``: host names, origins and headers. ``visitor_cookie``: identifies browsers on a demo.
- ``sign_in_middleware``: files and links on a server with sign-in. ``demo_middleware``: what a demo closes.
- ``upload_middleware``: receives uploads, with ``upload_form`` and ``upload_store``, on the disk.
- ``head_middleware``: adds scripts and styles to every page: one history entry for each view, a folded sidebar in
  a narrow window, and a layout that does not jump while a page loads.
- ``sign_in_rules``: who may sign in. ``limits``: limits of a demo. ``secrets``: the tables of
  ``.streamlit/secrets.toml``. ``addresses``: of visitors, for the limits of a demo.

:mod:`pages.sign_in` shows the sign-in form.
"""
