"""Faithfulness."""

import streamlit as st

st.title("Faithfulness", anchor=False)
