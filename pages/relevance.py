"""Relevance."""

import streamlit as st

st.title("Relevance", anchor=False)
