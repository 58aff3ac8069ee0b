"""A lab that remembers its students: what one has written is there again in the next session, and for nobody else.

The RLMS says who comes. The lab keeps a row for each person in a database of its own, and weblab_user.user is that row.
"""

from flask import Flask, redirect, render_template, request, url_for
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from labkit import WebLab, logout, requires_active, weblab_user


class Base(DeclarativeBase):
    pass


app = Flask(__name__)
app.config.update(WEBLAB_USERNAME="rlms", WEBLAB_PASSWORD="secret", SECRET_KEY="replace me")
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///users.db"  # a file in the lab's folder instance/
db = SQLAlchemy(app, model_class=Base)
weblab = WebLab(app)


class LaboratoryUser(db.Model):
    username_unique: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    visits: Mapped[int]
    notes: Mapped[str]


with app.app_context():  # every process of the lab comes by here, so: only if it is not there yet
    db.session.execute(CreateTable(LaboratoryUser.__table__, if_not_exists=True))
    db.session.commit()


@weblab.user_loader
def load_user(username_unique):
    # This name is the same in every session of one person, and no other person has it. What this function returns is
    # weblab_user.user: in on_start, in pages, in tasks.
    return db.session.get(LaboratoryUser, username_unique)


@weblab.on_start
def start(client_data, server_data):
    user = weblab_user.user
    if user is None:  # the first visit
        name = weblab_user.full_name or weblab_user.username
        user = LaboratoryUser(username_unique=weblab_user.username_unique, name=name, visits=0, notes="")
        db.session.add(user)
    user.visits += 1
    db.session.commit()


@weblab.initial_url
def initial_url():
    return url_for("notebook")


@app.get("/")
@requires_active
def notebook():
    return render_template("notebook.html", user=weblab_user.user)


@app.post("/")
@requires_active
def save():
    weblab_user.user.notes = request.form["notes"]
    db.session.commit()
    return redirect(url_for("notebook"))


@app.post("/leave")
@requires_active
def leave():
    logout()
    return redirect(url_for("labkit.ended"))
