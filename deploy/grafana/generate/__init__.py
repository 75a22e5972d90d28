"""
Generates what Grafana is given, from the code in this folder.

`python -m deploy.grafana.generate`, or `make dashboards`, writes the dashboards and the
alert rules below `deploy/grafana`; a test holds code and files together.
"""
