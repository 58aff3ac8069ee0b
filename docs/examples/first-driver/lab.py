"""A lab with a fan: labkit's page has its control, and on_start lets it turn."""

from flask import Flask, url_for

from labkit import WebLab

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
weblab = WebLab(app)


@weblab.initial_url
def initial_url():
    return url_for("labkit.page")


@weblab.on_start
def start(client_data, server_data):
    weblab.devices["fan"].set_speed(40)
