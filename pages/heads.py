"""Heads."""

import streamlit as st

st.title("Heads", anchor=False)
