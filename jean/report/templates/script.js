// Videos of one group play together: the one started first leads, the others follow without sound.
for (const group of document.querySelectorAll(".videos")) {
  const videos = [...group.querySelectorAll("video")];
  let leader = null;
  const follow = (event) => {
    if (event.target !== leader) return;
    for (const other of videos) if (other !== leader && Math.abs(other.currentTime - leader.currentTime) > 0.08) other.currentTime = leader.currentTime;
  };
  for (const video of videos) {
    video.addEventListener("play", () => {
      if (leader && !leader.paused && leader !== video) return;
      leader = video;
      for (const other of videos) if (other !== video) { other.muted = true; other.currentTime = video.currentTime; other.play(); }
    });
    video.addEventListener("pause", () => { if (video === leader) for (const other of videos) if (other !== video) other.pause(); });
    video.addEventListener("timeupdate", follow);
    video.addEventListener("seeked", follow);
  }
}
