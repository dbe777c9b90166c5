"""Lessons that run: a text, figures that are worked out while it is read, and one thing to change.

A lesson's text is a page of the docs (`docs/lessons/NAME.md`); the module of the same name beside
this one works out what is shown. So what a learner reads on a screen and on the site is one text.
"""
