"""A lab that reserves by hand: each session says what its bench must have."""

from flask import Flask, url_for

from labkit import WebLab

app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
app.config["LABKIT_ACQUIRE"] = False
weblab = WebLab(app)


@weblab.initial_url
def initial_url():
    return url_for("labkit.page")


@weblab.on_start
def start(client_data, server_data):
    names = weblab.devices.acquire(features=client_data.get("features", ["camera"]))
    return {"devices": names}
