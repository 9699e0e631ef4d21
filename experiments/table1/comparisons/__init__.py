"""Each method against CLEL: differences, intervals, tests."""
