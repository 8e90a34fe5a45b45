"""Intervene."""

import streamlit as st

st.title("Intervene", anchor=False)
