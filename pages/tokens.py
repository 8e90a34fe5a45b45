"""Tokens."""

import streamlit as st

st.title("Tokens", anchor=False)
