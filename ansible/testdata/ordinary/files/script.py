open("/srv/scripted-python", "w").write("python\n")
