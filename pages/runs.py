"""Runs: every run, compared."""

import streamlit as st

st.title("Runs", anchor=False)
