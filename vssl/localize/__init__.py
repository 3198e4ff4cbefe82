"""Any image, sound or video: where does it sound, if anywhere?"""
