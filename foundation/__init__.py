"""Code that several rooms need and that is not about speech. It imports no other room.

Each module imports only what it needs itself. So a Lambda function that uses one module does not
load the libraries of the others.
"""
