"""Regions of a program that run as one native kernel each."""
