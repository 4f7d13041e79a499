from jean.api import act as act
from jean.api import evaluate as evaluate
from jean.api import prepare as prepare
from jean.api import render as render
from jean.api import train_audio as train_audio
from jean.api import train_expression as train_expression
from jean.api import train_landmarks as train_landmarks
from jean.api import train_lips as train_lips
from jean.api import train_motion as train_motion
from jean.api import train_nerf as train_nerf
from jean.clips.clip import Clip as Clip
from jean.rendering.head import LoadedHead as LoadedHead
from jean.rendering.head import load_head as load_head

__version__: str
