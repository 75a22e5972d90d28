"""`python -m deploy.grafana.generate` writes every generated file."""

from deploy.grafana.generate.files import write

if __name__ == "__main__":
    write()
