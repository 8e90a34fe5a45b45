"""What the server does around Streamlit: doors (ASGI middleware), and the rules that the operator's secrets set.

- ``door``: names, origins, headers. ``visitor_cookie``: the mark of a browser on a demo.
- ``sign_in_door``: files and links where people sign in. ``upload_door``: how much of uploads a demo holds.
- ``identity``: who may come in. ``secret_tables``: the tables of ``.streamlit/secrets.toml``.

The gate that a person sees is :mod:`pages.sign_in`.
"""
