"""A gallery's whole life, in a folder and on a cluster."""

from gallery_fakes import START, Fake, Somewhere, noise, people

from resight.gallery.crops import Filter, NewCrop
from resight.gallery.gallery import Gallery


def test_a_whole_life(somewhere: Somewhere) -> None:
    gallery = Gallery.open(somewhere(), Fake(), create=True)
    added = gallery.add(people(24))
    assert (added.new, len(gallery)) == (144, 144)
    assert gallery.add(people(24)).known == 144
    gallery.calibrate(false_match_rate=0.01)
    gallery.close()

    again = Gallery.open(somewhere(), Fake())  # what is said of it is kept
    assert again.metadata.calibration is not None
    found = again.search([noise(5000, 3)], top=10, false_match_rate=0.01, rerank=True, cameras=["cam0"])
    assert [match.crop.person for match in found.matches[:6]] == ["p3"] * 6
    assert all(match.likely for match in found.matches[:6])
    own = found.matches[0].crop
    others = again.search(crops=[own.id], other_cameras=True, top=4)
    assert {match.crop.person for match in others.matches} == {"p3"}
    assert own.camera not in {match.crop.camera for match in others.matches}

    again.label([own.id], "somebody")
    assert again.count(Filter(persons=("somebody",))) == 1
    assert again.times() == (START, people(24)[-1].time)
    assert again.reembed(Fake("other")) == 144
    assert again.get([own.id])[0].person == "somebody"
    assert again.picture(own.id).startswith(b"\xff\xd8")
    again.close()
    backend = somewhere()
    assert backend.stores() == {"crops-2"}
    backend.close()

    last = Gallery.open(somewhere(), Fake("other"))
    assert last.metadata.calibration is None
    assert {match.crop.person for match in last.search([noise(5000, 5)], top=6).matches} == {"p5"}
    assert last.forget(Filter(cameras=("cam1",))) == 48
    last.add([NewCrop(noise(9), camera="cam1")])
    assert last.values("camera") == {"cam0": 48, "cam1": 1, "cam2": 48}
    last.keep_for(30)
    last.close()
    with Gallery.open(somewhere()) as kept:
        assert len(kept) == 1  # all others are older than 30 days; it has no time
